"""Cron expressions: strict in what they take, croniter for the calendar, Debian's rules when clocks change."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError

from shared.errors import BadRequest

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
# name, least, most, words
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d{1,4}))?", re.ASCII)
MAX_LENGTH = 256
# A date such as 29 February on a Monday comes every 28 years; what does not come in 40 never does.
YEARS = 40
# In the hour that clocks repeat, croniter may give a few results that are not meant; more than this is a fault.
_LOOKS = 200


def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name, or BadRequest."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadRequest(
            f"timezone {name[:64]!r} is unknown: use an IANA name such as Europe/Riga", "bad_timezone"
        ) from None


def _expand(text: str, name: str, least: int, most: int, words: dict[str, int]) -> list[int]:
    """The values of one field, each checked: `*`, `N`, `a-b`, lists, and steps behind `*` or a range."""
    values: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _bad(f"{name}: {part!r} is not understood")
        star, first, last, step = match.groups()
        if step is not None and (int(step) == 0 or not (star or last)):
            raise _bad(f"{name}: a step follows * or a range and is above 0, not {part!r}")
        low = least if star else _value(first, name, least, most, words)
        high = most if star else _value(last or first, name, least, most, words)
        if low > high:
            raise _bad(f"{name}: the range {part!r} runs backwards")
        if star and name == "day of week":
            high = 6
        values.update(range(low, high + 1, int(step or 1)))
    # 0 and 7 are both Sunday
    return sorted({value % 7 for value in values} if name == "day of week" else values)


def _value(text: str, name: str, least: int, most: int, words: dict[str, int]) -> int:
    value = words.get(text.lower(), int(text) if text.isdigit() and len(text) <= 4 else -1)
    if not least <= value <= most:
        raise _bad(f"{name}: {text!r} is not from {least} to {most}")
    return value


def _bad(why: str) -> BadRequest:
    return BadRequest(f"invalid cron expression: {why}", "bad_schedule")


class Cron:
    """When an expression is due: after(wall) is the next moment strictly later, in seconds since 1970."""

    def __init__(self, expression: str, timezone: str) -> None:
        if len(expression) > MAX_LENGTH:
            raise _bad(f"it is over {MAX_LENGTH} characters")
        fields = ALIASES.get(expression.strip().lower(), expression).split()
        if len(fields) != len(_FIELDS):
            raise _bad("five fields are needed: minute hour day-of-month month day-of-week")
        values = [_expand(text, *rule) for text, rule in zip(fields, _FIELDS, strict=True)]
        self._zone = zone(timezone)
        self._minutes, self._hours = set(values[0]), set(values[1])
        # crontab(5): with * in the minute or the hour it goes by the clock on the wall, else it is one time a day.
        self._wild = fields[0].startswith("*") or fields[1].startswith("*")
        explicit = " ".join(
            "*" if text == "*" else ",".join(map(str, found)) for text, found in zip(fields, values, strict=True)
        )
        # crontab(5): day of month and day of week, both restricted (no * at the start): either is enough.
        either = not fields[2].startswith("*") and not fields[4].startswith("*")
        self._expression, self._either = explicit, either
        if self.after(0.0) is None:
            raise _bad(f"{expression!r} never comes")

    def after(self, wall: float) -> float | None:
        """None when there is no such moment, or it is beyond the calendar's end."""
        try:
            moment = datetime.fromtimestamp(wall, self._zone)
            dates = croniter(self._expression, moment, day_or=self._either, max_years_between_matches=YEARS)
            for _ in range(_LOOKS):
                found: datetime = dates.get_next(datetime)
                if self._meant(found) and found.timestamp() > wall:
                    return found.astimezone(UTC).timestamp()
        except (CroniterError, OverflowError, ValueError):
            return None
        return None

    def _meant(self, found: datetime) -> bool:
        """Debian's rule for the change of clocks: a fixed time in the repeated hour is due once, at the first; one in
        the gap is due just after it; what goes by the clock on the wall is due at the times the clock really shows."""
        if self._wild:
            return found.minute in self._minutes and found.hour in self._hours
        return not found.fold


@lru_cache(maxsize=1024)
def cron(expression: str, timezone: str) -> Cron:
    """The expression, read once."""
    return Cron(expression, timezone)
