"""Whether a failed attempt is followed by another, and how long the task waits for it."""

from hashlib import sha256

from hub.core.codes import FAILURES, classify
from hub.core.model import Doc

BACKOFFS = ("none", "fixed", "linear", "exponential")
BASE_S = 1.0
MAX_S = 30.0
CODES = tuple(FAILURES)


def retried(doc: Doc, code: str, failures: int) -> bool:
    """Whether a task may be tried again after so many failed attempts of this run, the last with this code."""
    if failures > (doc.get("retries") or 0):
        return False
    named: list[str] | None = doc.get("retry_on")
    return code in named if named is not None else classify(code)[1]


def delay(doc: Doc, failures: int) -> float:
    """Seconds to wait before the attempt that follows so many failures (1 or more).

    Jitter comes from a hash of task and attempt, so that a replay waits the same time, and never goes beyond the cap.
    """
    base = _given(doc, "backoff_base", BASE_S)
    # The exponent is bounded: what follows is capped anyhow, and 2 ** 5000 is no float.
    factor = {
        "none": 0.0,
        "fixed": 1.0,
        "linear": float(failures),
        "exponential": 2.0 ** min(failures - 1, 60),
    }[doc.get("backoff") or "none"]
    jitter = 1.0 + _given(doc, "backoff_jitter", 0.0) * _unit(f"{doc['id']}\n{doc.get('attempt', 0)}")
    return min(_given(doc, "backoff_max", MAX_S), base * factor * jitter)


def _given(doc: Doc, key: str, default: float) -> float:
    value = doc.get(key)
    return default if value is None else value


def _unit(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(sha256(text.encode()).digest()[:6]) / 2**48
