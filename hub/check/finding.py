"""What a check found, and what to do about it."""

from typing import NamedTuple

OK, WARNING, FAILURE = "ok", "warning", "failure"


class Finding(NamedTuple):
    """check: its name, one word. remedy: a sentence, empty when all is well."""

    check: str
    status: str
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, OK, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, WARNING, found, remedy)


def failure(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, FAILURE, found, remedy)
