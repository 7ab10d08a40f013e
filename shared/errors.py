"""The errors of Motet: one root, a stable code, a sentence that tells what, why and what to do.

MotetError
├── BadRequest        what was sent is wrong and will stay wrong
├── NotFound          no such thing
├── Conflict          right, but not in this state
├── TooLarge          over a limit
├── TooMany           over a rate or a count, later it may pass
├── Unavailable       the hub cannot serve this now
├── Damaged           a file is not what was written
└── TaskFailure       a task run ended badly; its code is one of the table below
"""

PERMANENT = "permanent"
TRANSIENT = "transient"
UNKNOWN = "unknown"
CANCELLED = "cancelled"
DEPENDENCY = "dependency"

# code of a failed attempt: (category, whether it is retried when the task asks for retries)
FAILURES = {
    "trap_unreachable": (PERMANENT, True),
    "trap_oob": (PERMANENT, True),
    "trap_div0": (PERMANENT, True),
    "trap_int_overflow": (PERMANENT, True),
    "trap_int_conversion": (PERMANENT, True),
    "trap_call_type": (PERMANENT, True),
    "trap_undefined_element": (PERMANENT, True),
    "trap_stack": (PERMANENT, True),
    "exit_code": (PERMANENT, True),
    "memory_limit": (PERMANENT, True),
    "output_limit": (PERMANENT, True),
    "too_large": (PERMANENT, True),
    "timeout": (PERMANENT, False),
    "bad_inputs": (PERMANENT, False),
    "bad_module": (PERMANENT, False),
    "missing_import": (PERMANENT, False),
    "missing_export": (PERMANENT, False),
    "denied": (PERMANENT, False),
    "quarantined": (PERMANENT, False),
    "bad_reference": (PERMANENT, False),
    "bad_expression": (PERMANENT, False),
    "device_lost": (TRANSIENT, True),
    "worker_died": (TRANSIENT, True),
    "device_error": (TRANSIENT, True),
    "dependency_failed": (DEPENDENCY, False),
    "cancelled": (CANCELLED, False),
}


def classify(code: str) -> tuple[str, bool]:
    """(category, retried by default) of a failure code; a code this table lacks is unknown and retried."""
    return FAILURES.get(code, (UNKNOWN, True))


class MotetError(Exception):
    """Something Motet refused or could not do."""

    code = "error"

    def __init__(self, message: str, code: "str | None" = None, detail: "dict[str, object] | None" = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.detail = detail or {}


class BadRequest(MotetError):
    code = "bad_request"


class Forbidden(MotetError):
    code = "forbidden"


class NotFound(MotetError):
    code = "not_found"


class Conflict(MotetError):
    code = "conflict"


class TooLarge(MotetError):
    code = "too_large"


class TooMany(MotetError):
    code = "too_many"


class Unavailable(MotetError):
    code = "unavailable"


class Damaged(MotetError):
    code = "damaged"


class TaskFailure(MotetError):
    code = "failed"
