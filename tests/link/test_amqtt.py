"""What hub/link relies on inside amqtt, which promises none of it: a new version has to pass here first."""

import inspect
from importlib.metadata import version

import pytest
from amqtt.broker import Broker
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import OutgoingApplicationMessage, Session

from hub.link.broker import EmbeddedBroker
from hub.link.delivery import DeviceChannel

REPLACED = {
    Broker: {
        "_initialize_client_session": ["reader", "writer", "remote_address", "remote_port"],
        "_authenticate": ["session", "_"],
        "_client_message_loop": ["client_session", "handler"],
        "_cleanup_session": ["client_id"],
        "_delete_session": ["client_id"],
        "add_subscription": ["subscription", "session"],
        "_del_subscription": ["a_filter", "session"],
        "_del_all_subscriptions": ["session"],
        "_broadcast_message": ["session", "topic", "data", "force_qos"],
        "_run_broadcast": ["running_tasks"],
    },
    BrokerProtocolHandler: {
        "attach": ["session", "reader", "writer"],
        "_retry_deliveries": [],
        "mqtt_acknowledge_subscription": ["packet_id", "return_codes"],
        "mqtt_acknowledge_unsubscription": ["packet_id"],
    },
}
"""Every method that we replace, with its parameters."""

CALLED = {
    Broker: {"external_connected": ["reader", "writer", "listener_name"]},
    BrokerProtocolHandler: {
        "handle_connection_closed": [],
        "init_from_connect": ["reader", "writer", "plugins_manager", "loop"],
    },
}
OURS = {Broker: EmbeddedBroker, BrokerProtocolHandler: DeviceChannel}


def test_this_is_the_version_that_was_read() -> None:
    assert version("amqtt") == "0.12.1"


@pytest.mark.parametrize("theirs", [Broker, BrokerProtocolHandler])
def test_what_we_replace_is_what_was_read(theirs: type) -> None:
    ours = OURS[theirs]
    replaced = {name for name in vars(ours) if hasattr(theirs, name) and inspect.isfunction(vars(ours)[name])}
    assert replaced - {"__init__"} == set(REPLACED[theirs])
    for name, parameters in REPLACED[theirs].items():
        assert list(inspect.signature(getattr(theirs, name)).parameters)[1:] == parameters
        assert list(inspect.signature(getattr(ours, name)).parameters)[1:] == parameters
        asynchronous = inspect.iscoroutinefunction(getattr(theirs, name))
        assert inspect.iscoroutinefunction(getattr(ours, name)) == asynchronous


@pytest.mark.parametrize("theirs", [Broker, BrokerProtocolHandler])
def test_what_we_call_is_there(theirs: type) -> None:
    for name, parameters in CALLED[theirs].items():
        found = [p for p in inspect.signature(getattr(theirs, name)).parameters if p != "self"]
        assert found == parameters
        assert inspect.iscoroutinefunction(getattr(theirs, name))


async def test_what_we_read_and_write_is_there() -> None:
    session = Session()
    assert session.next_packet_id == 1
    assert session.inflight_out == {}
    assert session.transitions.state == "new"
    assert (session.parent, session.will_flag, session.clean_session, session.client_id) == (0, False, None, None)
    message = OutgoingApplicationMessage(7, "t", 1, b"x", False)
    assert message.publish_packet is None
    assert message.build_publish_packet(dup=True).to_bytes() == b"\x3a\x06\x00\x01t\x00\x07x"
    broker = Broker({"listeners": {"default": {"type": "external"}}, "plugins": {}})
    assert (broker._sessions, broker._broadcast_queue.qsize(), broker.plugins_manager.plugins) == ({}, 0, [])
