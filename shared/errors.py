"""The errors of Motet: one root, a stable code, a sentence that tells what, why and what to do.

MotetError
├── BadRequest        what was sent is wrong and will stay wrong
├── NotFound          no such thing
├── Conflict          right, but not in this state
├── TooLarge          over a limit
├── TooMany           over a rate or a count, later it may pass
├── Unavailable       the hub cannot serve this now
├── Damaged           a file is not what was written
└── TaskFailure       a task run ended badly; its code is one of hub.core.codes
"""

from shared.faults import BadRequest as BadRequest
from shared.faults import Damaged as Damaged
from shared.faults import MotetError as MotetError
from shared.faults import TaskFailure as TaskFailure
from shared.faults import TooLarge as TooLarge


class Forbidden(MotetError):
    code = "forbidden"


class NotFound(MotetError):
    code = "not_found"


class Conflict(MotetError):
    code = "conflict"


class TooMany(MotetError):
    code = "too_many"


class Unavailable(MotetError):
    code = "unavailable"
