"""Times, states and JSON as people read them."""

import json
from datetime import UTC, datetime
from typing import Any, Final

# Up to so many seconds a time is told in this unit; as `ago` of operations/tasks/why_task.sql, and of live.js.
UNITS: Final = ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h"))
DAY: Final = 86_400


def ago(then: datetime, now: datetime) -> str:
    """How long ago: 12 s, 3 min, 5 h, 2 days."""
    return _told((now - then).total_seconds())


def lasted(start: datetime, end: datetime | None, now: datetime) -> str:
    """How long something took, or takes already."""
    return _told(((end or now) - start).total_seconds())


def left(until: datetime, now: datetime) -> str:
    """What is left of a lease."""
    seconds = (until - now).total_seconds()
    return f"{_told(seconds)} left" if seconds > 0 else "lease over"


def iso(time: datetime) -> str:
    """For the attribute of a `<time>`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(time: datetime) -> str:
    """Day and time, in UTC; the page says it in the reader's own zone."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def label(word: str) -> str:
    """A word of the program as people write it: in_progress is "in progress"."""
    return word.replace("_", " ")


def pretty(value: Any) -> str:
    """JSON to be read; text stands as it is."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _told(seconds: float) -> str:
    whole = max(0, int(seconds))
    for below, size, unit in UNITS:
        if whole < below:
            return f"{whole // size} {unit}"
    return f"{whole // DAY} days"
