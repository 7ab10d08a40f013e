"""A device that says anything at all, over a real socket: its connection holds, and the hub does its work."""

import re

from hypothesis import given, seed, settings

from hub.link.messages import UP
from shared import topics
from tests.effort import effort
from tests.faults.test_forged import Device
from tests.fuzz import messages
from tests.link.rawclient import PUBACK, publish_packet

MESSAGES = effort(3000)


def some(count):
    """So many messages, the same ones each time."""
    found = []

    @seed(1)
    @settings(max_examples=count, deadline=None, database=None)
    @given(messages(UP))
    def take(message):
        found.append(message)

    take()
    return found


async def test_no_message_breaks_the_connection_or_the_hub(make_world):
    # A short beat lets more of them pass at a time.
    world = make_world("--beat-s", "0.1", "--lease-s", "60", "--log-level", "error")
    world.start_edges("works")
    device = await Device.connect(world, "babbles")
    client = device.client
    said = [(kind, payload) for kind, payload in some(MESSAGES) if kind in UP and len(payload) <= 1 << 16]
    assert len(said) > MESSAGES / 2
    for number, (kind, payload) in enumerate(said, 10):
        client.write(publish_packet(topics.up("babbles", kind), payload, 1, number))
        while (answer := await client.read(60)).packet_id != number or answer.kind != PUBACK:
            pass
    await client.ping()
    assert world.call("GET", "/health")["status"] == "pass"
    metrics = world.http.get("/metrics").text
    assert re.search(r"^motet_mqtt_errors_total 0\.0$", metrics, re.MULTILINE)
    dropped = sum(map(float, re.findall(r"^motet_mqtt_messages_dropped_total\{.*\} (\S+)$", metrics, re.MULTILINE)))
    assert dropped > len(said) / 10
    await client.die()
    world.run("after", "main", "addition", [1, 2], proplet_id="works")
    world.hub.stop()
    assert "ERROR" not in world.hub.text and "Traceback" not in world.hub.text
    print(f"{len(said)} messages, {dropped:.0f} of them dropped, one connection")
