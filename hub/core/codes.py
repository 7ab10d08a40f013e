"""The codes of failed attempts: what kind of failure each is, and whether such an attempt is worth another."""

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
