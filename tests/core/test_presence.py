"""Who is there: each change of it is written, and so told by GET /events; that nothing changes is not."""

from typing import Any

import pytest

from hub.core import commands
from hub.core.model import PROPLETS
from tests.core.play import Play


class Written(Play):
    """Counts what is written of devices."""

    count = 0

    def _keep(self, outcome: Any) -> None:
        self.count += sum(put.table == PROPLETS for put in outcome.puts)
        super()._keep(outcome)


@pytest.fixture
def play():
    return Written()


def presence(play: Written) -> tuple[bool, int]:
    """Whether the device is alive, and how often it was written since the last look."""
    count, play.count = play.count, 0
    return play.engine.world.proplets["d1"].alive, count


def test_a_device_that_beats_on_is_not_written(play):
    play.join("d1")
    presence(play)
    for _ in range(10):
        play.pass_time(9)
        play.beat("d1")
    assert presence(play) == (True, 0)


def test_a_silence_is_written_and_the_beat_that_ends_it_once(play):
    play.join("d1")
    presence(play)
    play.pass_time(31)
    assert presence(play) == (False, 1)
    play.beat("d1")
    assert presence(play) == (True, 1)
    play.beat("d1")
    assert presence(play) == (True, 0)


def test_a_connection_its_end_and_the_hello_of_the_next_one_are_written(play):
    play.join("d1")
    assert presence(play) == (True, 2)
    play.do(commands.Disconnected("d1"))
    assert presence(play)[1] == 1
    play.join("d1")
    assert presence(play)[1] == 1
