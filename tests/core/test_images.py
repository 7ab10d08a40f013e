"""Tasks whose module is behind a url: fetched once, at the first dispatch of one of them."""

import pytest

from hub.core import commands
from shared.errors import Conflict
from tests.core.play import MODULE, Play, spec

URL = "docker.io/myorg/extract:v1"


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def pull(name: str, depends_on: list[str] | None = None, url: str = URL, **more):
    return spec(name, depends_on, **{"module": None, "image_url": url, **more})


def arrive(play: Play, url: str = URL) -> None:
    play.do(commands.Fetched(url, MODULE))


def module(play: Play, *names: str) -> list[str | None]:
    return [play.at(name).doc.get("module") for name in names]


def test_a_task_waits_for_its_module_and_then_runs(play):
    play.workflow(pull("a"), spec("b", ["a"]))
    assert (play.fetches, play.states("a"), play.starts()) == ([URL], ["Pending"], [])
    assert play.engine.pending_reason(play.at("a")) == f"its module is being fetched from {URL}"
    arrive(play)
    assert (module(play, "a"), play.starts()) == ([MODULE], ["a"])
    play.end("a")
    assert play.starts() == ["b"]


def test_nothing_is_fetched_before_the_first_dispatch(play):
    play.workflow(spec("a"), pull("b", ["a"]))
    assert play.fetches == []
    play.end("a")
    assert play.fetches == [URL]


def test_many_tasks_with_one_url_lead_to_one_fetch(play):
    play.workflow(*(pull(f"t{at}") for at in range(20)), pull("later", ["t0"]), pull("other", url="http://x/y.wasm"))
    assert play.fetches == [URL, "http://x/y.wasm"]
    play.task("outside", module=None, image_url=URL)
    play.task("idle", start=False, module=None, image_url=URL)
    arrive(play)
    assert play.fetches == [URL, "http://x/y.wasm"]
    assert module(play, "t0", "t19", "later", "outside", "idle", "other") == [MODULE] * 5 + [None]
    assert play.engine.world.modules[MODULE].tasks == 23
    play.do(commands.Start("task", "idle"))
    assert play.engine.pending_reason(play.at("idle")) == "every proplet is busy"
    assert len(play.fetches) == 2


def test_a_fetch_that_fails_fails_those_who_wait_and_a_new_start_tries_again(play):
    play.workflow(pull("a"), pull("b"), spec("next", ["a"]), pull("handler", ["b"], run_if="failure"))
    play.task("idle", start=False, module=None, image_url=URL)
    play.do(commands.Fetched(URL, None, "the registry says 404"))
    assert play.states("a", "b", "next", "handler", "idle") == ["Failed", "Failed", "Skipped", "Pending", "Pending"]
    assert play.at("a").doc["error"] == "the registry says 404"
    assert play.at("a").doc["error_info"]["code"] == "bad_module"
    assert "attempts" not in play.at("a").doc
    # What the failure has started asks once more.
    assert play.fetches == [URL, URL]
    arrive(play)
    assert play.starts() == ["handler"]


def test_one_failure_in_a_group_with_fail_fast_ends_the_others_that_wait(play):
    specs = [pull("a"), pull("b")]
    play.do(commands.CreateWorkflow("wf", "wf", specs, ["", ""], options={"fail_fast": True}))
    play.do(commands.Start("workflow", "wf"))
    play.do(commands.Fetched(URL, None, "no"))
    assert play.states("a", "b") == ["Failed", "Skipped"]


def test_a_restart_of_the_hub_fetches_again_what_is_waited_for(play):
    play.task("a", module=None, image_url=URL)
    play.task("idle", start=False, module=None, image_url=URL)
    play.restart()
    assert play.fetches == [URL, URL]
    play.join("d1")
    arrive(play)
    assert (play.starts(), module(play, "idle")) == (["a"], [MODULE])


def test_a_stop_while_the_module_is_fetched_ends_the_task_at_once(play):
    play.task("a", module=None, image_url=URL)
    play.do(commands.Stop("task", "a"))
    assert play.states("a") == ["Interrupted"]
    play.do(commands.Start("task", "a"))
    assert play.fetches == [URL]
    arrive(play)
    assert play.starts() == ["a"]


def test_a_task_that_is_deleted_while_its_module_is_fetched_leaves_nothing_behind(play):
    play.task("a", module=None, image_url=URL)
    play.do(commands.Stop("task", "a"))
    play.do(commands.Delete("task", "a"))
    arrive(play)
    assert play.engine.world.modules[MODULE].tasks == 0


def test_waiting_for_a_module_is_waiting_in_the_queue(play):
    play.task("a", module=None, image_url=URL, queue_timeout=5)
    play.pass_time(6)
    assert play.states("a") == ["Failed"]
    assert play.at("a").doc["error_info"]["code"] == "timeout"
    arrive(play)
    assert play.starts() == []


def test_max_parallel_counts_what_waits_for_its_module(play):
    specs = [pull("a"), pull("b"), spec("c")]
    play.do(commands.CreateJob("job", "job", "parallel", specs, [""] * 3, options={"max_parallel": 1}))
    play.do(commands.Start("job", "job"))
    assert play.starts() == []
    arrive(play)
    assert play.starts() == ["a"]
    play.end("a")
    assert play.starts() == ["b"]


def test_what_was_fetched_may_be_unfit_to_run(play):
    play.task("a", module=None, image_url=URL, function="nothing")
    arrive(play)
    assert play.at("a").doc["error_info"]["code"] == "missing_export"


def test_a_module_that_was_deleted_before_the_tasks_had_it_fails_them(play):
    play.task("a", module=None, image_url=URL)
    play.do(commands.Fetched(URL, "f" * 64))
    assert play.at("a").doc["error_info"]["code"] == "bad_module"


def test_an_upload_while_the_module_is_fetched_goes_first(play):
    play.task("a", module=None, image_url=URL)
    play.module("b" * 64)
    play.do(commands.AttachModule("a", "b" * 64))
    assert play.starts() == ["a"]
    arrive(play)
    assert module(play, "a") == ["b" * 64]


def test_another_url_or_the_same_again_means_a_new_fetch(play):
    play.task("a", module=None, image_url=URL)
    with pytest.raises(Conflict, match="runs"):
        play.do(commands.UpdateTask("a", {"image_url": "http://x/y.wasm"}))
    arrive(play)
    play.end("a")
    play.do(commands.UpdateTask("a", {"cost": 5}))
    assert module(play, "a") == [MODULE]
    for url in ("http://x/y.wasm", URL):
        play.do(commands.UpdateTask("a", {"image_url": url}))
        assert module(play, "a") == [None]
        play.do(commands.Start("task", "a"))
        assert play.fetches[-1] == url
        arrive(play, url)
        play.end("a")
    assert play.engine.world.modules[MODULE].tasks == 1


def test_a_copy_has_the_module_that_was_fetched_unless_it_names_another_url(play):
    play.task("a", module=None, image_url=URL)
    arrive(play)
    play.do(commands.Duplicate("copy", "task", "a", "same"))
    play.do(commands.Duplicate("copy", "task", "a", "other", overrides={"image_url": "http://x/y.wasm"}))
    play.do(commands.Duplicate("copy", "task", "a", "stored", overrides={"module": MODULE, "image_url": "http://x"}))
    assert module(play, "same", "other", "stored") == [MODULE, None, MODULE]


def test_a_template_has_what_its_firing_has_fetched(play):
    play.task("timed", start=False, module=None, image_url=URL, every=10, overlap="allow")
    assert play.fetches == []
    play.pass_time(20)
    assert (play.fetches, play.at("timed").doc["run_count"]) == ([URL], 2)
    arrive(play)
    assert len(play.starts()) == 2
    play.beat("d1")
    play.pass_time(10)
    assert (len(play.starts()), play.fetches) == (1, [URL])


def test_parts_of_a_task_have_the_module_of_the_task(play):
    play.task("each", module=None, image_url=URL, for_each=[1, 2, 3])
    play.task("all", module=None, image_url=URL, broadcast=True)
    assert play.starts() == []
    arrive(play)
    assert len(play.starts()) == 4
    assert play.fetches == [URL]


def test_an_archive_stays_as_it_is(play):
    play.task("a", start=False, module=None, image_url=URL)
    play.do(commands.Duplicate("archive", "task", "a", "kept"))
    play.do(commands.Start("task", "a"))
    arrive(play)
    assert module(play, "a", "kept") == [MODULE, None]
