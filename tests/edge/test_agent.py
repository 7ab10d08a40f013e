"""The device's state machine: whatever happens, in whatever order. Its tests are in tests/both."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.agent import Agent
from tests.both.test_agent import OK, key, start, welcome

HUB_EVENTS = ["start", "stop", "ack", "connect", "welcome", "chunk"]
DEVICE_EVENTS = ["tick", "begin", "finish", "ready", "part", "reboot"]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(HUB_EVENTS + DEVICE_EVENTS),
        st.integers(0, 5),
        st.integers(1, 2),
    ),
    max_size=120,
)


class World:
    """The device around the agent, and what must never happen."""

    SLOTS, CAPACITY = 1, 4

    def __init__(self):
        self.outbox = {}
        self.seen = []
        self.ran = []
        self.running = []
        self.now = 0
        self.agent = Agent(self.SLOTS, self.CAPACITY, [], [])

    def do(self, actions):
        for action in actions:
            if action[0] == "run":
                pair = (action[1]["task"], action[1]["attempt"])
                assert pair not in self.ran, "ran twice"
                assert pair in self.seen, "ran before it was remembered"
                self.ran.append(pair)
                self.running.append(pair)
            elif action[0] == "store":
                pair = (action[1]["task"], action[1]["attempt"])
                assert pair not in self.outbox, "stored twice"
                self.outbox[pair] = action[1]
            elif action[0] == "report":
                assert action[1:] in self.outbox, "published before it was stored"
            elif action[0] == "drop":
                assert self.acknowledged == action[1:], "dropped without an acknowledgement"
                del self.outbox[action[1:]]
            elif action[0] == "remember":
                self.seen = [tuple(pair) for pair in action[1]]
        assert len(self.running) <= self.SLOTS
        assert len(self.outbox) + len(self.agent.running()) <= self.CAPACITY
        assert len(self.agent.running()) <= self.SLOTS * 5

    def step(self, event, number, attempt):
        task, module = f"t{number}", f"{number % 2:064x}"
        machine = self.agent
        self.acknowledged = None
        self.now += 1000 * number
        if event == "start":
            self.do(machine.message("start", start(task, attempt, module), self.now))
        elif event == "stop":
            self.do(machine.message("stop", key(task, attempt), self.now))
        elif event == "ack":
            self.acknowledged = (task, attempt)
            self.do(machine.message("ack", key(task, attempt), self.now))
            assert (task, attempt) not in self.outbox
        elif event == "connect":
            machine.disconnected()
            self.do(machine.connected(self.now))
        elif event == "welcome":
            self.do(machine.message("welcome", welcome(epoch=attempt), self.now))
        elif event == "tick":
            self.do(machine.tick(self.now))
        elif event == "ready":
            self.do(machine.module_ready(module))
        elif event == "part" and module in machine.modules():
            self.do(machine.module_part(module, number, self.now))
        elif event == "chunk":
            chunk = {"module": module, "offset": number, "total": 9, "data": ""}
            self.do(machine.message("chunk", chunk, self.now))
        elif event == "begin" and self.running:
            self.do(machine.started(*self.running[0]))
        elif event == "finish" and self.running:
            pair = self.running.pop(0)
            self.do(machine.finished(*pair, OK))
            assert pair in self.outbox, "a result was lost"
        elif event == "reboot":
            self.running = []
            self.agent = Agent(self.SLOTS, self.CAPACITY, list(self.outbox), self.seen)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_whatever_happens(events):
    world = World()
    for event in events:
        world.step(*event)
