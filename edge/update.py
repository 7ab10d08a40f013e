"""An update of the edge on a board: fetches what the other slot lacks, has it tried, and kept when the hub says so.

Updates come from the hub, file by file as modules do. edge.boot.motet_slots says what slots are.
"""

import os
from binascii import a2b_base64

from edge import files
from edge.clock import now_ms
from edge.fetch import Fetches
from edge.modules import digest
from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any


class Update:
    """edge: edge.main.Edge; slots: the module motet_slots; restart() starts the board anew."""

    def __init__(self, edge: "Any", slots: "Any", restart: "Any") -> None:
        self.edge = edge
        self.slots = slots
        self.restart = restart
        word, self.name = slots.state()
        self.on_trial = word == "on_trial"
        self.ready = False
        self.lines: list[str] = []  # "name sha256" of the files that are not there yet
        self._folder = ""
        self._fetches = Fetches()

    def heard(self, kind: str, fields: "dict[str, Any]") -> bool:
        """Whether a message from the hub was for the update: the rest of the edge need not hear it."""
        if kind == "update":
            self._begin(fields)
        elif kind == "keep":
            if self.on_trial:
                self.slots.confirm()
                self.on_trial = False
                self._say("done")
        elif kind == "chunk" and fields["module"] in self._fetches.all:
            self._take(fields)
        else:
            return self.ready and kind == "start"  # it would be lost with the restart that comes now
        return True

    def tick(self, now: int) -> None:
        """Every second or so."""
        if self.edge.agent.welcomed:
            for module in self._fetches.due(now):
                self._ask(module)
        if self.ready and not self.edge.agent.running():
            self.restart()
        if self.on_trial and now - self.edge.booted_ms > self.edge.trial_ms:
            self.restart()

    def _begin(self, fields: "dict[str, Any]") -> None:
        if self.on_trial or (fields["package"] == self.name and (self.lines or self.ready)):
            return  # it is under way
        self.name = fields["package"]
        self.ready = False
        self.lines = fields["files"].split("\n")
        self._fetches = Fetches()
        try:
            self._folder = self.slots.begin() + "/"
            wanted = [line.split(" ")[0] for line in self.lines]
            for package in {name.split("/")[0] for name in wanted}:
                files.make_folder(self._folder + package)
                for name in os.listdir(self._folder + package):  # a source would be started in place of its bytecode
                    if package + "/" + name not in wanted:
                        files.remove(self._folder + package + "/" + name)
            self._next()
        except OSError as error:
            self._fail(str(error))

    def _next(self) -> None:
        """Ask for the first file that is not there; with the last one the slot is whole."""
        while self.lines:
            name, module = self.lines[0].split(" ")
            if digest(self._folder + name) != module:
                self._say("fetching")
                self._fetches.arrived(module, 0)
                self._ask(module)
                return
            self.lines.pop(0)
        self.slots.try_next(self.name)
        self.ready = True
        self._say("ready")

    def _ask(self, module: str) -> None:
        offset = self._fetches.ask(module, now_ms())
        if offset < 0:
            self._fail("the hub did not send " + self.lines[0])
        else:
            self.edge.link.post("need", {"module": module, "offset": offset}, 1)

    def _take(self, fields: "dict[str, Any]") -> None:
        name, module = self.lines[0].split(" ")
        offset = fields["offset"]
        if not self._fetches.expects(module, offset) or not fields["total"]:
            return  # without a size: a hub that was started anew and has its files still to make
        try:
            data = a2b_base64(fields["data"])
            with open(self._folder + name, "ab" if offset else "wb") as file:
                file.write(data)
            offset += len(data)
            if offset < fields["total"]:
                self._fetches.arrived(module, offset)
                self._ask(module)
            elif digest(self._folder + name) == module:
                self._fetches.drop(module)
                self._next()
            else:
                self._fail(name + " arrived with another sha256")
        except (OSError, ValueError) as error:
            self._fail(str(error))

    def _fail(self, why: str) -> None:
        self.lines = []
        self._fetches = Fetches()
        self._say("failed", why)

    def _say(self, state: str, error: str = "") -> None:
        fields = {"package": self.name, "state": state, "left": len(self.lines), "error": error}
        self.edge.link.post("update", fields, 1)
