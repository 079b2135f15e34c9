"""`asq task claim`, and what a holder does with what it holds."""

import os
from typing import Annotated, Any

import typer
from rich.text import Text

from agentsquad.cli import plans, words
from agentsquad.cli.running import NOTHING, Answer, verb
from agentsquad.cli.tasks import Number
from agentsquad.client import AsyncClient, Conflict, Invalid

app = typer.Typer()
Mine = Annotated[
    int | None, typer.Argument(metavar="[N]", min=1, envvar="SQUAD_TASK", help="By default the task that is worked on.")
]
Note = Annotated[str, typer.Argument(help="What to say in its thread.")]


@verb(app, "claim")
async def claim(
    client: AsyncClient,
    number: Annotated[int | None, typer.Argument(metavar="[N]", min=1, help="By default the next that fits.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for something to do.")] = 0,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="GLOB", help="What to reserve until the attempt ends; may be repeated."),
    ] = None,
    lease: Annotated[
        int | None, typer.Option("--lease", metavar="SECONDS", help="The attempt's own lease; by default the squad's.")
    ] = None,
) -> Answer:
    """Claim a task, or its review. A person's claim never lapses."""
    found = await client.claim(number, wait=wait, paths=path or (), lease_seconds=lease)
    if found is None:
        return Answer(None, Text("There is nothing to do.", style="dim"), NOTHING)
    task = found.task
    until = f"; lease {found.lease_seconds} s" if found.lease_seconds else ""
    what = "review " if found.kind == "review" else ""
    said = f"{task.holder} holds {what}#{task.number} (attempt {task.attempt}){until}{words.reserved(found.paths)}"
    return Answer(found, Text(f"{said}: {words.line(task.title)}"))


@verb(app, "heartbeat")
async def heartbeat(client: AsyncClient, number: Mine = None) -> Answer:
    """Extend the lease of a held task."""
    beat = await client.heartbeat(await handle(client, number))
    return Answer(beat, Text(f"lease {words.left(beat.lease_ends_at) or 'without an end'}"))


@verb(app, "complete")
async def complete(
    client: AsyncClient,
    number: Number,
    result: Annotated[str | None, typer.Argument(help="What came of it: JSON, or text; @FILE, - reads.")] = None,
) -> Answer:
    """Hand in the result of a held task."""
    task = await client.complete(await handle(client, number), plans.value(result))
    return Answer(task, words.changed(task))


@verb(app, "fail")
async def fail(
    client: AsyncClient,
    number: Number,
    reason: Annotated[str, typer.Argument(help="Why it can't be done.")],
    retry: Annotated[bool, typer.Option("--retry", help="It may be tried again, while a try is left.")] = False,
) -> Answer:
    """End a held task without a result."""
    task = await client.fail(await handle(client, number), reason, retry=retry)
    return Answer(task, words.changed(task))


@verb(app, "release")
async def release(
    client: AsyncClient, number: Mine = None, reason: Annotated[str, typer.Option(help="Why.")] = ""
) -> Answer:
    """Give a held task back, which uses no try."""
    task = await client.release(await handle(client, number), reason)
    return Answer(task, words.changed(task))


@verb(app, "handoff")
async def handoff(
    client: AsyncClient,
    number: Number,
    note: Note,
    to: Annotated[str | None, typer.Option("--to", help="A member.")] = None,
    role: Annotated[str | None, typer.Option("--role", help='A role; "": anybody.')] = None,
) -> Answer:
    """Give a held task to a member or a role, with a note in its thread."""
    task = await client.handoff(await handle(client, number), note, to=to, role=role)
    return Answer(task, words.changed(task))


@verb(app, "wait")
async def wait(client: AsyncClient, number: Mine = None) -> Answer:
    """Let a held task wait until its parts have ended; it comes back then."""
    task = await client.wait_for_children(await handle(client, number))
    return Answer(task, words.changed(task))


@verb(app, "accept")
async def accept(client: AsyncClient, number: Number, note: Note = "") -> Answer:
    """Accept the result of a task whose review one holds."""
    task = await client.accept(await handle(client, number), note)
    return Answer(task, words.changed(task))


@verb(app, "reject")
async def reject(client: AsyncClient, number: Number, note: Note) -> Answer:
    """Reject the result of a task whose review one holds; its member does it again."""
    task = await client.reject(await handle(client, number), note)
    return Answer(task, words.changed(task))


async def handle(client: AsyncClient, number: int | None) -> str:
    """The handle of one's claim of a task: from the environment of an attempt, else as the server knows it.

    Raises:
        Invalid: no task was named.
        Conflict: one doesn't hold it.
    """
    if number is None:
        raise Invalid("invalid", "Which task? Give its number.")
    given = os.environ.get("SQUAD_CLAIM", "")
    if given.startswith(f"{number}/"):
        return given
    me: Any = await client.me()
    for claim in me.claims:
        if claim.startswith(f"{number}/"):
            return str(claim)
    raise Conflict("lost_claim", f"{me.name} doesn't hold #{number}; claim it with `asq task claim {number}`.")
