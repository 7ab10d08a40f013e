"""One run of one attempt on one device, as the ledger keeps it."""

from dataclasses import dataclass
from typing import Any

from hub.core.model import Doc
from tests.sim.loop import Process


@dataclass
class Execution:
    """One run of one attempt on one device. token: which task of that id it was; two may have borne it in turn."""

    serial: int
    device: str
    process: Process
    task: str
    attempt: int
    token: Any
    result: Doc | None = None
    kept: bool = False  # the device has its result and said so

    @property
    def live(self) -> bool:
        return self.result is None and not self.process.dead

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.task} on {self.device}"


def token_of(inputs: Any) -> Any:
    return inputs[0] if isinstance(inputs, list) and inputs else None
