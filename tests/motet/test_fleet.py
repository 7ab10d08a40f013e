"""The demo's child processes: started, watched, and always ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from motet.fleet import Fleet, Signals, Stopped
from shared.errors import MotetError

# Stands in for `motet`: a hub that says it is ready, an edge; each with a child of its own that ignores SIGTERM.
STUB = """
import pathlib, signal, subprocess, sys, time
command, *options = sys.argv[1:]
data = pathlib.Path(options[options.index("--data") + 1])
worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
grandchild = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.DEVNULL)
data.with_suffix(".pid").write_text(f"{__import__('os').getpid()} {grandchild.pid}")
if STUBBORN:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if command == "hub":
    print("motet hub is ready: http://127.0.0.1:5 (MQTT on 127.0.0.1:6, data in there)", flush=True)
print(*options, file=sys.stderr, flush=True)
time.sleep(60)
"""


def command(source: str, stubborn: bool = False) -> tuple[str, ...]:
    return (sys.executable, "-c", source.replace("STUBBORN", str(stubborn)))


def pids(folder: Path, *names: str) -> list[int]:
    for _ in range(500):
        try:
            found = [int(pid) for name in names for pid in (folder / f"{name}.pid").read_text().split()]
        except FileNotFoundError:
            found = []
        if len(found) == 2 * len(names):
            return found
        time.sleep(0.01)
    raise AssertionError("the children did not start")


def alive(pid: int) -> bool:
    """A zombie that init has not fetched yet does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_gone(numbers: list[int]) -> bool:
    for _ in range(100):
        if not any(alive(pid) for pid in numbers):
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals() as entered:
        yield entered


def test_children_and_their_children_are_ended(tmp_path: Path, signals: Signals) -> None:
    with Fleet(tmp_path, signals, command(STUB)) as fleet:
        fleet.start_hub()
        fleet.start_edge("e1")
        fleet.start_edge("e2")
        numbers = pids(tmp_path, "hub", "e1", "e2")
        assert fleet.url == "http://127.0.0.1:5"
        assert fleet.ended() == []
        assert all(alive(pid) for pid in numbers)
        assert "--broker 127.0.0.1:6 --id e1" in _log(tmp_path, "e1")
    assert all_gone(numbers)


def _log(folder: Path, name: str) -> str:
    for _ in range(500):
        text = (folder / f"{name}.log").read_text()
        if text:
            return text
        time.sleep(0.01)
    return ""


def test_stubborn_children_are_killed(tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.fleet.GRACE_S", 0.2)
    with pytest.raises(ZeroDivisionError), Fleet(tmp_path, signals, command(STUB, stubborn=True)) as fleet:
        fleet.start_hub()
        numbers = pids(tmp_path, "hub")
        raise ZeroDivisionError
    assert all_gone(numbers)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys; sys.exit('no amqtt here')", "the hub did not start: no amqtt here"),
        ("print('hello')", "the hub did not start: hello"),
        ("pass", "the hub did not start: it said nothing"),
    ],
)
def test_a_hub_that_does_not_start(source: str, words: str, tmp_path: Path, signals: Signals) -> None:
    with Fleet(tmp_path, signals, command(source)) as fleet, pytest.raises(MotetError) as caught:
        fleet.start_hub()
    assert caught.value.message == words


def test_a_hub_that_never_is_ready(tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.fleet.READY_S", 0.2)
    with Fleet(tmp_path, signals, command("import time; time.sleep(60)")) as fleet, pytest.raises(MotetError):
        fleet.start_hub()


def test_a_child_that_ends_is_told(tmp_path: Path, signals: Signals) -> None:
    with Fleet(tmp_path, signals, command("import sys; print('starting'); sys.exit('no wasm3')")) as fleet:
        fleet.start_edge("e1")
        for _ in range(500):
            if fleet.ended():
                break
            time.sleep(0.01)
        assert fleet.ended() == ["e1 has ended: no wasm3"]


def test_the_callers_configuration_stays_outside(
    tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTET_PORT", "1")
    source = "import os, sys; sys.exit(f\"{os.environ.get('MOTET_PORT')} {sys.argv[-2:]}\")"
    with Fleet(tmp_path, signals, command(source)) as fleet, pytest.raises(MotetError) as caught:
        fleet.start_hub()
    assert "None ['--config', '/dev/null']" in caught.value.message


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops(signum: signal.Signals) -> None:
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as caught, Signals():
        os.kill(os.getpid(), signum)
        time.sleep(1)
    assert caught.value.signum == signum
    assert signal.getsignal(signum) is before


def test_a_signal_waits_while_held() -> None:
    done = []
    with pytest.raises(Stopped), Signals() as signals:
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("whole")
        done.append("never")
    assert done == ["whole"]


DEMO = """
import sys
from motet import demo
sys.exit(demo.main(keep=False, command=(sys.executable, "-c", sys.argv[1])))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_no_orphan_when_the_demo_is_stopped(signum: signal.Signals, tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", DEMO, STUB.replace("STUBBORN", "False")],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        numbers = pids(_folder(tmp_path), "hub")
        demo.send_signal(signum)
        assert demo.wait(10) == 128 + signum
    finally:
        demo.terminate()
        demo.wait()
    assert all_gone(numbers)
    assert list(tmp_path.iterdir()) == []


def _folder(parent: Path) -> Path:
    for _ in range(500):
        found = list(parent.glob("motet-demo-*"))
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError("the demo did not start")
