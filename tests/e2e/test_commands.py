"""The commands as a person types them."""

import socket
import subprocess
import sys

from tests.e2e.world import EXAMPLES, ROOT, Process

# Sends no signal: the process is to end by itself.
NOTHING = 0


def motet(*arguments, timeout=60):
    return subprocess.run(
        [sys.executable, "-m", "motet", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


def test_the_demo_ends_with_the_right_results():
    done = motet("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    for result in ("30", "20", "300", "150", "100", "500", "3", "7", "11", "Skipped"):
        assert result in done.stdout


def test_run_prints_the_results_of_a_module(world):
    world.start_edges("a")
    file = str(EXAMPLES / "addition.wasm")
    done = motet("run", file, "--url", world.url, "--function", "main", "10", "20")
    assert (done.returncode, done.stdout) == (0, "30\n"), done.stderr
    done = motet("run", file, "--url", world.url, "--function", "main", "10", "-20")
    assert (done.returncode, done.stdout) == (0, "-10\n"), done.stderr
    done = motet("run", file, "--url", world.url, "--function", "main", "10")
    assert done.returncode == 1 and "input" in done.stderr
    done = motet("run", str(ROOT / "README.md"), "--url", world.url)
    assert done.returncode != 0 and "Traceback" not in done.stderr


def test_run_without_a_hub_says_how_to_get_one():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        done = motet("run", str(EXAMPLES / "addition.wasm"), "--url", url, "1", "2")
    assert done.returncode == 4 and "motet hub" in done.stderr and "Traceback" not in done.stderr


def test_off_loopback_the_hub_refuses_to_listen_without_insecure(tmp_path):
    hub = Process("hub", "--host", "0.0.0.0", "--port", "0", "--mqtt-port", "0", "--data", str(tmp_path))
    hub.line("--insecure")
    assert hub.stop(NOTHING) == 1


def test_a_folder_and_a_file_of_logins_for_images_must_be_there_at_the_start(tmp_path):
    for option in ("--image-dir", "--registry-auth"):
        hub = Process("hub", "--port", "0", "--mqtt-port", "0", "--data", str(tmp_path / "hub"), option, "/no/such")
        assert hub.stop(NOTHING) == 1, hub.text
        assert f"{option[2:].replace('-', '_')}: /no/such" in hub.text
        assert "Traceback" not in hub.text


def test_a_port_that_is_taken_and_a_folder_in_use_are_said_in_a_sentence(world, tmp_path):
    for options in (["--port", world.port], ["--mqtt-port", world.mqtt_port], ["--data", str(world.folder / "hub")]):
        defaults = {"--port": "0", "--mqtt-port": "0", "--data": str(tmp_path / "other")}
        defaults.update(zip(options[::2], options[1::2], strict=True))
        hub = Process("hub", *(word for pair in defaults.items() for word in pair))
        assert hub.stop(NOTHING) == 1, hub.text
        assert "Traceback" not in hub.text and len(hub.text) < 500, hub.text
