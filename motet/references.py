"""References from one task's inputs to what another returns, as the hub resolves them before it dispatches."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import BadRequest

if TYPE_CHECKING:
    from motet.workflow import Task

# In the inputs of a task with for_each: the item of each part.
ITEM = "$item"
# "$a" or "${a.outputs[0]}", as in the hub
_TEXT = re.compile(r"\$(?:\{([A-Za-z0-9._:-]+?)(?:\.(?:outputs|results)(?:\[\d+\])?)?\}|([A-Za-z0-9._:-]+))")


@dataclass(frozen=True, slots=True)
class Reference:
    """Stands for a value of a task that has not run yet; a whole input, or a whole value of an input object."""

    task: "Task"
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Outputs(Reference):
    """The list of all outputs; outputs[1] is the second one."""

    def __getitem__(self, index: int) -> Reference:
        if index < 0:
            raise BadRequest(f"outputs are counted from 0, not {index}", "bad_reference")
        return Reference(self.task, f"${{{self.task.key}.outputs[{index}]}}")


def named_in(text: object) -> str | None:
    """The name or id of the task that a text refers to, None for anything else."""
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    return None if match is None else match[1] or match[2]
