"""Times, tables and texts as a person reads them."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from agentsquad.schemas.members import Member
from agentsquad.schemas.tasks import Card, Task

STYLES: Final = {
    "blocked": "dim",
    "todo": "yellow",
    "in_progress": "cyan",
    "in_review": "magenta",
    "done": "green",
    "failed": "red",
    "cancelled": "dim strike",
}
# What a terminal would take for a command; somebody else may have written the text.
CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: object) -> str:
    """A text without what could command the terminal."""
    return CONTROLS.sub("�", str(text).replace("\r\n", "\n"))


def line(text: object) -> str:
    """A text on one line."""
    return " ".join(plain(text).split())


def words(value: Any) -> str:
    """Any JSON: a text as it is, everything else as JSON."""
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2))


def ago(then: datetime | None) -> str:
    """How long ago it was."""
    return "never" if then is None else f"{lasting((datetime.now(UTC) - then).total_seconds())} ago"


def lasting(seconds: float) -> str:
    """A length of time, in its largest unit."""
    seconds = max(seconds, 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def clock(then: datetime) -> str:
    """A moment, on this machine's clock: today's without its date."""
    here = then.astimezone()
    return here.strftime("%H:%M:%S" if here.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")


def left(until: datetime | None) -> str:
    """What is left of a lease."""
    return "" if until is None else lasting((until - datetime.now(UTC)).total_seconds())


def reserved(paths: Sequence[str]) -> str:
    """What an attempt reserves, to be said behind something else."""
    return f"; reserved: {line(', '.join(paths))}" if paths else ""


def status(task: Task | Card) -> Text:
    """A status in its colour."""
    name = task.status.replace("_", " ")
    return Text(f"{name} ({task.blocked_on})" if task.blocked_on else name, style=STYLES[task.status])


def changed(task: Task) -> Text:
    """A task that was just changed, in one line."""
    return Text.assemble(f"#{task.number} ", status(task))


def state(member: Member) -> str:
    """Whether a member works."""
    return "retired" if member.retired_at else "paused" if member.paused_at else "active"


def model(member: Member) -> str:
    """The model of a member that the server runs, and where that is if not at the provider's."""
    if member.hosting is None:
        return ""
    return f"{member.hosting.model}{f' at {member.hosting.base_url}' if member.hosting.base_url else ''}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, nothing: str) -> Table | Text:
    """Rows below their headings; a sentence where there are none. Where it gets narrow the widest are folded."""
    drawn = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(line(cell)) for cell in row))
    return drawn if drawn.row_count else Text(nothing, style="dim")
