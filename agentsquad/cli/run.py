"""`asq run`: a squad of a template takes a task in plain words, and one watches until its result is there."""

import contextlib
import math
import re
import sys
from collections.abc import AsyncIterator
from itertools import count
from typing import Annotated, Final

import typer
from rich.text import Text

from agentsquad.cli import events, hosting, plans, words
from agentsquad.cli.passing import Speaking
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AlreadyExists, AsyncClient, Invalid, checked
from agentsquad.schemas import limits
from agentsquad.schemas.budgets import BudgetNew
from agentsquad.schemas.events import Event
from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.squads import Squad, SquadNew
from agentsquad.schemas.steps import StepText
from agentsquad.schemas.tasks import Task, TaskNew
from agentsquad.sentences import sentence

app = typer.Typer()
LEAD: Final = "lead"
FAILED: Final = ("failed", "cancelled")
ENDED: Final = ("done", *FAILED)
SERVERS: Final = "the server's own"
SLUG: Final = 40  # characters of a name that is made of the words


@verb(app, "run")
async def run(
    client: AsyncClient,
    as_json: bool,
    template: Annotated[str, typer.Argument(help="What the squad is made from; see `asq template list`.")],
    request: Annotated[str, typer.Argument(metavar="WORDS", help="What is to be done; @FILE, - reads.")],
    model: hosting.Model = None,
    base_url: hosting.BaseUrl = None,
    name: Annotated[str | None, typer.Option(help="What the squad is called; by default after the words.")] = None,
    cost: Annotated[float | None, typer.Option(help="Dollars that it may spend.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens that it may spend.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Don't wait for the result.")] = False,
) -> AsyncIterator[Answer]:
    """Give a squad of hosted members a task in plain words, and watch it until the result is there."""
    text = (plans.text(request) or "").strip()
    title = words.line(text)[: limits.TITLE]
    if not title:
        raise Invalid("invalid", "WORDS can't be empty; say what is to be done.")
    how = hosting.made({"model": model, "base_url": base_url}, Hosting())
    squad = await _made(client, template, how, name, _slug(title) or template)
    async with AsyncClient(client.url, squad=str(squad.id), patience=math.inf) as own:
        if cost is not None or tokens is not None:
            await own.set_budget(checked(BudgetNew, cost=cost, tokens=tokens))
        roles = [member.role for member in squad.members if member.hosting]
        role = LEAD if LEAD in roles else roles[0]
        new = checked(TaskNew, title=title, description=text if text != title else "", role=role)
        (task,) = await own.create_tasks([new])
        yield Answer(task, _begun(squad, task, detach))
        if not detach:
            async for answer in _watched(own, squad, task, text=not as_json and sys.stdout.isatty()):
                yield answer


async def _watched(client: AsyncClient, squad: Squad, task: Task, *, text: bool) -> AsyncIterator[Answer]:
    speaking = Speaking()
    async with contextlib.aclosing(client.feed(0, text=text)) as feed:
        async for event in feed:
            if isinstance(event, StepText):
                yield Answer(None, speaking.hear(event), passing=True)
                continue
            if speaking.end(event):
                yield Answer(None, passing=True)
            status = getattr(event.data, "status", None) if event.task == task.number else None
            if _is_told(event):
                yield Answer(event, None if status in FAILED else _view(event, squad))
            if status in ENDED:
                break
            if _needs_somebody(event) and not sys.stdout.isatty():
                break  # nobody reads along who could do something about it
    ended = await client.task(task.number)
    if ended.status == "done":
        yield Answer(ended, Text(f"\n{words.words(ended.result)}"))
    else:
        yield Answer(ended, Text(words.plain(ended.why), style="red"), code=1)


def _view(event: Event, squad: Squad) -> Text:
    """An event for whoever watches: what a person has to know comes whole, and what to do about it below."""
    said = Text(f"{words.clock(event.at)}  ", style="dim")
    if event.kind == "message.sent" and _needs_somebody(event):
        return said.append(words.line(event.data.body), "yellow")
    if event.kind == "task.created" and event.data.assignee and _is_person(squad, event.data.assignee):
        asked = f"{event.actor.member} asks {event.data.assignee}: {event.data.title}"
        details = f"\n{words.plain(event.data.description)}" if event.data.description else ""
        answer = f"\nasq answer --squad {squad.name} {event.task} TEXT"
        return said.append(words.line(asked), "yellow").append(details, "yellow").append(answer, "bold")
    return said.append(words.line(sentence(event)), events.style(event))


def _needs_somebody(event: Event) -> bool:
    """Whether the server has stopped something until the owner acts; its message says what, and why."""
    return event.kind == "message.sent" and event.data.sender is None


def _is_told(event: Event) -> bool:
    """Whether it is worth a line: what somebody does at a task, but not each thing that is written down of it."""
    if event.kind == "step.started":
        return event.data.kind != "prompt"
    return event.kind.startswith(("task.", "message.sent"))


async def _made(client: AsyncClient, template: str, how: Hosting | None, name: str | None, words: str) -> Squad:
    """The squad; a name that is made of the words gets a number where it is taken."""
    for number in count(1):
        called = name or (words if number == 1 else f"{words}-{number}")
        try:
            return await client.create_squad(checked(SquadNew, name=called, template=template, hosting=how))
        except AlreadyExists:
            if name:
                raise
    raise AssertionError


def _slug(text: str) -> str:
    """The beginning of a text as a name."""
    parts = re.findall(r"\w+", text.lower())
    kept: list[str] = []
    while parts and len("-".join([*kept, parts[0]])) <= SLUG:
        kept.append(parts.pop(0))
    return "-".join(kept)


def _is_person(squad: Squad, name: str) -> bool:
    return any(member.kind == "person" for member in squad.members if member.name == name)


def _begun(squad: Squad, task: Task, detached: bool) -> Text:
    hosted = sorted((member for member in squad.members if member.hosting), key=lambda member: member.role != LEAD)
    model = words.model(hosted[0])
    facts = [
        f"Squad {squad.name}: {', '.join(member.name for member in hosted)}",
        f"Model: {SERVERS if model == Hosting().model else model}",
    ]
    if detached:
        hint, command = f"#{task.number} is theirs. What becomes of it:", f"asq task show {task.number}"
    else:
        hint, command = "Ctrl-C ends the watching, not the work. This does:", "asq squad pause --now"
    command = f"{command} --squad {squad.name}"
    return Text("\n".join([*facts, hint, ""])).append(command, "bold").append("" if detached else "\n")
