"""`motet check` beside a hub that runs."""

import os

from tests.e2e.world import Process


def test_the_check_finds_the_hub_that_runs_on_the_folder(world):
    world.start_edge("a")
    world.run("t", "main", "addition", [1, 2])
    check = Process(
        "check", "--data", str(world.folder / "hub"), "--port", world.port, "--mqtt-port", world.mqtt_port,
        "--config", os.devnull,
    )  # fmt: skip
    check.child.wait(30)
    assert check.stop() == 0
    for line in ("HTTP port .* a hub answers", "MQTT port .* accepts", "1 tasks", "1 modules", "1 proplets"):
        assert check.line(line)
