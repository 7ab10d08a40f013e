"""Random graphs, outcomes, stops and restarts of the hub, against a small independent model of the truth table."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core import commands
from shared import states
from tests.core.play import MODULE, Play, spec
from tests.effort import SOAK, effort

RUN_IF = st.sampled_from([None, "success", "failure", "always"])
RULE = st.sampled_from([None, "skip", "fail", "run-anyway"])


@st.composite
def graphs(draw):
    """Tasks in topological order: ({parent: required}, run_if, whether it will succeed, on_dep_failure)."""
    parents = [
        draw(st.dictionaries(st.integers(0, at - 1), st.booleans(), max_size=3)) if at else {}
        for at in range(draw(st.integers(1, 12)))
    ]
    return [(one, draw(RUN_IF), draw(st.booleans()), draw(RULE)) for one in parents]


def expected(graph) -> list[int]:
    """The end states by the words of the contract, with no engine."""
    ends: list[int] = []
    for parents, run_if, succeeds, rule in graph:
        outcome = states.COMPLETED if succeeds else states.FAILED
        unmet = [at for at, required in parents.items() if required and ends[at] != states.COMPLETED]
        if run_if == "failure" and parents:
            ends.append(outcome if states.FAILED in [ends[at] for at in parents] else states.SKIPPED)
        elif run_if == "always" or not unmet or rule == "run-anyway":
            ends.append(outcome)
        else:
            ends.append(states.FAILED if rule == "fail" else states.SKIPPED)
    return ends


def specs(graph):
    return [
        spec(f"t{at}", [f"t{parent}" for parent in sorted(parents)], run_if=run_if, on_dep_failure=rule,
             optional=[f"t{parent}" for parent, required in parents.items() if not required])
        for at, (parents, run_if, _, rule) in enumerate(graph)
    ]  # fmt: skip


@settings(max_examples=effort(3000), deadline=None, derandomize=not SOAK)
@given(graphs(), st.randoms(use_true_random=False), st.integers(0, 2))
def test_every_graph_ends_as_the_truth_table_says_through_losses_and_restarts(graph, random, trouble):
    play = Play()
    play.join("d1", slots=2)
    play.join("d2", slots=2)
    # Some of the modules are yet to be fetched, and who has the same url shares one fetch.
    pulled = [{"module": None, "image_url": f"http://x/{at % 2}"} if random.random() < 0.3 else {} for at in range(12)]
    play.workflow(*({**one, **more} for one, more in zip(specs(graph), pulled, strict=False)))
    for step in range(200):
        running = [task for task in play.engine.world.tasks.values() if task.state in states.ACTIVE]
        if play.fetches and (not running or random.random() < 0.5):
            play.do(commands.Fetched(play.fetches.pop(0), MODULE))
            continue
        if not running:
            break
        task = random.choice(running)
        fate = random.randrange(10)
        if fate < trouble and not task.doc.get("losses"):
            play.join(task.doc["proplet_id"], boot=f"boot-{random.random()}")
        elif fate < 2 * trouble and step < 50:
            play.fetches.clear()
            play.restart()
            play.join("d1", slots=2, running=on(play, "d1"))
            play.join("d2", slots=2, running=on(play, "d2"))
        else:
            if random.random() < 0.5:
                play.begin(task.id)
            play.end(task.id, ok=graph[int(task.id[1:])][2])
    ends = [play.at(f"t{at}").state for at in range(len(graph))]
    assert ends == expected(graph)


def on(play: Play, device: str) -> list[tuple[str, int]]:
    return [(task.id, task.attempt) for task in play.engine.world.proplets[device].running.values()]


@settings(max_examples=effort(1500), deadline=None, derandomize=not SOAK)
@given(graphs(), st.randoms(use_true_random=False))
def test_stops_leave_nothing_in_limbo_and_a_start_goes_on_to_the_end(graph, random):
    play = Play()
    play.join("d1", slots=3)
    play.workflow(*specs(graph))
    group = play.engine.world.workflows["wf"]
    for _ in range(random.randrange(4)):
        tasks = [task for task in group.tasks.values() if task.state not in states.ENDED]
        if tasks:
            play.do(commands.Stop("task", random.choice(tasks).id))
        finish(play, graph, random.randrange(3))
    if group.state not in states.ENDED:
        play.do(commands.Stop("workflow", "wf"))
    finish(play, graph, 100)
    assert not group.active
    while any(task.state == states.INTERRUPTED for task in group.tasks.values()):
        play.do(commands.Start("workflow", "wf"))
        finish(play, graph, 100)
    assert [play.at(f"t{at}").state for at in range(len(graph))] == expected(graph)


def finish(play: Play, graph, count: int) -> None:
    for _ in range(count):
        running = [task for task in play.engine.world.tasks.values() if task.state in states.ACTIVE]
        if not running:
            return
        play.end(running[0].id, ok=graph[int(running[0].id[1:])][2])
