"""The device's work: its outbox, its modules and its runner do what the agent decides, and it hears how that went."""

import json
from binascii import a2b_base64

from edge import files
from edge.clock import now_ms
from edge.modules import Modules
from edge.outbox import Outbox, encode
from shared import const
from shared.faults import Damaged, TooLarge
from shared.messages import MAX_RESULT

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Tasks:
    """owner is edge.main.Edge: its agent and runner, do(actions) and drop(why); platform as edge.board."""

    def __init__(self, owner: "Any", data: str, platform: "Any", log: "Callable[[str], None]") -> None:
        self.owner = owner
        self.data = data
        self._log = log
        self._max_result = min(MAX_RESULT, platform.MAX_MESSAGE)
        self.modules = Modules(data + "/modules", platform.MODULE_BYTES)
        self.outbox = Outbox(data + "/outbox")

    def do(self, kind: str, *what: "Any") -> None:
        """An action of edge.agent, but publish and report."""
        if kind == "store":
            self._store(*what)
        elif kind == "drop":
            self.outbox.drop(*what)
        elif kind == "remember":
            # Not synced: after a power cut the hub ends by itself what this boot does not name.
            self._note("/seen", what[0])
        elif kind == "look":
            self._look(*what)
        elif kind == "chunk":
            self._store_chunk(*what)
        elif kind == "run":
            start = what[0]
            path = self.modules.path(start["module"]) or ""
            self._note("/last", [start["task"], start["attempt"]])
            self.owner.runner.start(start, path, self.on_started, self.on_finished, self.on_event)
        elif kind == "stop":
            self.owner.runner.stop(*what)

    def _store(self, fields: "dict[str, Any]") -> None:
        payload = encode(fields, self._max_result)
        if not self.outbox.put(fields["task"], fields["attempt"], payload):
            self._log("the disk refused a result: it is held in memory until the hub has it")

    def _note(self, name: str, what: "list[Any]") -> None:
        try:
            files.write(self.data + name, json.dumps(what).encode(), sync=False)
        except OSError as error:
            self._log("the disk refused the list of what ran here: %s" % error)

    def _look(self, module: str) -> None:
        if self.modules.path(module) is None:
            self._tell("module_part", module, self.modules.part_size(module), now_ms())
        else:
            self._tell("module_ready", module)

    def _store_chunk(self, fields: "dict[str, Any]") -> None:
        module = fields["module"]
        try:
            data = a2b_base64(fields["data"])
            whole = self.modules.append(module, fields["offset"], fields["total"], data, self.owner.agent.modules())
        except Damaged:
            self._tell("module_damaged", module, now_ms())
        except TooLarge as error:
            self._tell("module_failed", module, "too_large", error.message)
        except OSError as error:
            self._tell("module_failed", module, "too_large", "no room for the module: %s" % error)
        except ValueError:  # the agent asks again
            self.owner.drop("a chunk of the hub was dropped: it is no base64")
        else:
            if whole:
                self._tell("module_ready", module)
            else:
                self._tell("module_part", module, self.modules.part_size(module), now_ms())

    def _tell(self, what: str, *facts: "Any") -> None:
        """Tell the agent, and do what it then wants done."""
        self.owner.do(getattr(self.owner.agent, what)(*facts))

    # What the runner says

    def on_started(self, task: str, attempt: int) -> None:
        self._tell("started", task, attempt)

    def on_event(self, task: str, attempt: int, kind: str, fields: "dict[str, Any]") -> None:
        self._tell("event", task, attempt, kind, fields, now_ms())

    def on_finished(self, task: str, attempt: int, result: "dict[str, Any]") -> None:
        self._tell("finished", task, attempt, result)


def seen(path: str) -> "list[tuple[str, int]]":
    """The (task, attempt) that ran here last; none when the file is not as it was written."""
    try:
        return [(task, attempt) for task, attempt in json.loads(files.read(path) or b"[]")]
    except (ValueError, TypeError):
        return []
