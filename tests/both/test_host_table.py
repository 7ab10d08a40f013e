"""The table of host functions: what it lists, what a topic is, what a permission covers."""

import pytest

from shared import host


def test_every_signature_is_one_of_wasm3_with_i32_only():
    for name, signature in host.functions().items():
        result, _, parameters = signature.partition("(")
        assert result in ("i", "v"), name
        assert parameters.endswith(")"), name
        assert set(parameters[:-1]) <= {"i"}, name


def test_what_reaches_the_world_needs_a_permission():
    assert set(host.PRIVILEGED) == {"sensor", "gpio_read", "gpio_write", "adc", "publish"} <= set(host.functions())
    assert host.TICK not in host.functions()


@pytest.mark.parametrize("topic", ["a", "site/1/temp.max_x-y", "/a//b", "x" * 128])
def test_a_topic(topic):
    assert host.valid_topic(topic)


@pytest.mark.parametrize("topic", ["", "x" * 129, "a b", "a/#", "a/+", "$SYS", "é", "a\n", "a\0"])
def test_no_topic(topic):
    assert not host.valid_topic(topic)


@pytest.mark.parametrize(
    ("allow", "name", "argument", "covered"),
    [
        ([], "adc", None, False),
        (["adc"], "adc", None, True),
        (["adc"], "adc", "3", True),
        (["adc:3"], "adc", None, True),
        (["adc:3"], "adc", "3", True),
        (["adc:3"], "adc", "33", False),
        (["adc:3", "adc:4"], "adc", "4", True),
        (["gpio_read"], "gpio_write", None, False),
        (["gpio"], "gpio_read", None, False),
        (["publish:alarm"], "publish", "alarm", True),
        (["publish:alarm"], "publish", "alarm/1", False),
        (["publish:site/"], "publish", "site/1/x", True),
        (["publish:site/"], "publish", "site", False),
        (["publish:site/"], "publish", "sites/1", False),
        (["sensor:1/"], "sensor", "1/2", False),
        (["publish:"], "publish", "x", False),
    ],
)
def test_what_a_permission_covers(allow, name, argument, covered):
    assert host.is_allowed(allow, name, argument) is covered
