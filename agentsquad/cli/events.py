"""`asq feed` and `asq log`: what happened, and what happens."""

import contextlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from rich.text import Text

from agentsquad.cli import words
from agentsquad.cli.passing import Speaking
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, Invalid
from agentsquad.schemas.events import Event
from agentsquad.schemas.steps import StepText
from agentsquad.sentences import sentence

app = typer.Typer()
LATELY: Final = 20  # events that are shown unless somebody says since when
UNITS: Final = {"s": "seconds", "min": "minutes", "m": "minutes", "h": "hours", "d": "days"}
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="A position, a time, or how long ago: 41, 10min, 2h, 1d.")
]
Task = Annotated[int | None, typer.Option("--task", min=1, help="Only of this task.")]
Kind = Annotated[list[str] | None, typer.Option("--kind", help="Only of this kind; may be repeated.")]


@verb(app, "feed")
async def feed(
    client: AsyncClient,
    since: Since = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    task: Task = None,
    kind: Kind = None,
    text: Annotated[bool, typer.Option("--text", help="With --follow: also what models say just now.")] = False,
) -> AsyncIterator[Answer]:
    """What happened in the squad, in order; with --follow also what happens, through every restart."""
    if text and not follow:
        raise Invalid("invalid", "--text shows what is said now; add --follow.")
    after = await _position(client, since)
    if follow:
        speaking = Speaking()
        async with contextlib.aclosing(client.feed(after, task=task, kinds=kind or (), text=text)) as events:
            async for event in events:
                if isinstance(event, StepText):
                    yield Answer(event, speaking.hear(event), passing=True)
                else:
                    speaking.end(event)
                    yield Answer(event, view(event))
    else:
        async for event in _until_now(client, after, task, kind):
            yield Answer(event, view(event))


@verb(app, "log")
async def log(
    client: AsyncClient,
    of: Annotated[str | None, typer.Option("--member", help="Only what this member did, or what befell it.")] = None,
    since: Since = None,
    task: Task = None,
    kind: Kind = None,
) -> AsyncIterator[Answer]:
    """The log since the beginning, or since then, of the squad or of one member."""
    after = 0 if since is None else await _position(client, since)
    holders: dict[int | None, str | None] = {}
    async for event in _until_now(client, after, task, kind):
        if of is None or of in _concerned(event, holders):
            yield Answer(event, view(event))


def view(event: Event) -> Text:
    """An event, in one line."""
    where = Text(f"{event.position:>5}  {words.clock(event.at)}  ", style="dim")
    return where.append(words.line(sentence(event)), style(event))


def style(event: Event) -> str:
    """Its colour."""
    match event.kind:
        case "task.completed" | "task.accepted":
            return "green"
        case "task.failed" | "task.lapsed" | "task.stuck" | "task.rejected":
            return "red"
        case "task.claimed":
            return "cyan"
        case _:
            return ""


def _concerned(event: Event, holders: dict[int | None, str | None]) -> set[str | None]:
    """Names of the members that did it, or to whom it happened: also of a task's holder until then."""
    data = event.data.model_dump()
    names = {event.actor.member, data.get("member"), data.get("to"), *data.get("recipients", ()), data.get("holder")}
    if event.kind == "member.added":
        names.add(data["name"])
    if "holder" in data:
        names.add(holders.get(event.task))
        holders[event.task] = data["holder"]
    return names


async def _until_now(client: AsyncClient, after: int, task: int | None, kind: list[str] | None) -> AsyncIterator[Event]:
    while True:
        page = await client.events(after, task=task, kinds=kind or ())
        for event in page.items:
            yield event
        if page.last == after:
            return
        after = page.last


async def _position(client: AsyncClient, since: str | None) -> int:
    """The position after which to begin."""
    if since is not None and since.isdecimal():
        return int(since)
    last = (await client.board()).last
    if since is None:
        return max(last - LATELY, 0)
    return await _before(client, _moment(since), last)


async def _before(client: AsyncClient, moment: datetime, last: int) -> int:
    """The last position before a moment: positions are in the order of time, so halving finds it."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        (event,) = (await client.events(middle, limit=1)).items
        if event.at < moment:
            low = middle + 1
        else:
            high = middle
    return low


def _moment(since: str) -> datetime:
    found = re.fullmatch(r"(\d+) ?(s|min|m|h|d)", since)
    try:
        if found:
            return datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])})
        return datetime.fromisoformat(since).astimezone()
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "invalid", f"{since} is no time; say 41 (a position), 10min, 2h, 1d or 2026-01-31T09:00."
        ) from error
