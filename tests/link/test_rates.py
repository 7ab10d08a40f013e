"""How long a device has to wait, without a clock."""

import pytest

from hub.link.limits import Limits, limits_for
from hub.link.rates import Bucket, Rates


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate=10, burst=5, now=100)
    for _ in range(5):
        assert bucket.wait(100) == 0
        bucket.take()
    assert bucket.wait(100) == pytest.approx(0.1)
    assert bucket.wait(100.05) == pytest.approx(0.05)
    assert bucket.wait(100.11) == 0
    bucket.take()
    bucket.wait(1000)
    for _ in range(5):
        assert bucket.wait(1000) == 0
        bucket.take()
    assert bucket.wait(1000) > 0


def passed(rates: Rates, kind: str | None, seconds: float) -> int:
    """How many messages of a kind a device gets through in this time, if it tries without end."""
    now, count = 0.0, 0
    while now < seconds:
        wait = rates.packet(kind, now)
        count += not wait
        now += wait and max(wait, 1e-6)
    return count


@pytest.mark.parametrize(
    ("kind", "burst", "rate"), [("result", 4000, 2000), (None, 4000, 2000), ("log", 200, 20), ("beat", 20, 2)]
)
def test_each_kind_has_its_rate(kind: str | None, burst: int, rate: int) -> None:
    assert passed(Rates(Limits(), 0), kind, 10) == pytest.approx(burst + 10 * rate, abs=2)


def test_a_device_out_of_logs_may_still_send_results() -> None:
    rates = Rates(Limits(), 0)
    while rates.packet("log", 0) == 0:
        pass
    assert rates.packet("result", 0) == 0


def test_a_hundred_denials_a_minute_pass() -> None:
    rates = Rates(Limits(), 0)
    assert all(rates.deny(0) for _ in range(100))
    assert not rates.deny(0)
    assert sum(rates.deny(60) for _ in range(200)) == 100


@pytest.mark.parametrize("beat_s", [0.1, 0.5, 2, 10])
def test_a_device_that_beats_as_it_is_told_is_not_held_back_even_after_a_pause_of_the_hub(beat_s: float) -> None:
    rates, pause_s = Rates(limits_for(beat_s), 0), 30
    assert all(rates.packet("beat", pause_s) == 0 for _ in range(int(pause_s / beat_s)))
    assert all(rates.packet("beat", pause_s + at * beat_s) == 0 for at in range(1, 100))
