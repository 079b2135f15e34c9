"""`asq work`: any command is a member. It claims, runs the command on the task, and hands in what it prints."""

import asyncio
import contextlib
import signal
from dataclasses import replace
from typing import Annotated, Final

import typer

from agentsquad.cli.attempts import Attempt, Stdin, Work, say, stop
from agentsquad.client import AsyncClient, Invalid, Reserved, SquadError, Unreachable, working
from agentsquad.schemas import limits

PAUSES: Final = (1.0, 5.0, 20.0, 60.0)  # seconds until the next claim after one that got nothing on
ENDS: Final = ("task.cancelled", "task.released", "task.blocked", "task.lapsed")  # how others end an attempt


def work(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="What is run on each task.")],
    member: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Who works; added to the squad if new.")
    ] = None,
    role: Annotated[str, typer.Option(help="Role of a new member: whose tasks it takes.")] = "",
    squad: Annotated[str | None, typer.Option("--squad", "-s", help="Which squad, by name or id.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after one task.")] = False,
    concurrency: Annotated[int, typer.Option("--concurrency", "-c", min=1, max=64, help="Tasks at the same time.")] = 1,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds that the command may take.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Let a failed task be tried again.")] = False,
    stdin: Annotated[Stdin, typer.Option(help="What the command reads.")] = Stdin.PROMPT,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="GLOB", help="What to reserve for each task; may be repeated."),
    ] = None,
) -> None:
    """Work as a member: claim tasks and run COMMAND on each.

    The command finds the task as JSON in the file that SQUAD_TASK_FILE names, and a prompt on its standard
    input. What it prints is the result. Exit code 0 completes the task, 75 gives it back, anything else fails it with
    the end of its standard error; of a review it prints ACCEPT or REJECT, and why. Every `asq` that it runs speaks as
    the member. What it leaves running is ended with it. Ctrl-C stops the command and gives the task back; once more
    kills it. With --path nothing is claimed while somebody else reserves what overlaps.
    """
    how = Work(tuple(command), member or "", timeout, retry, stdin, tuple(path or ()))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_work(how, role, squad, concurrency, once=once))


async def _work(how: Work, role: str, squad: str | None, concurrency: int, *, once: bool) -> None:
    async with AsyncClient(squad=squad, member=how.member or None) as client:
        await client.join(role)
        me = await client.me()
        if role not in {"", me.role}:
            remedy = f"leave out --role, or change it with `asq member edit {me.name} --role {role}`"
            raise Invalid("invalid", f"{me.name} is there already as {me.role or 'a member of no role'}; {remedy}.")
        await loop(client, replace(how, member=me.name), concurrency, once=once)


async def loop(client: AsyncClient, how: Work, concurrency: int = 1, *, once: bool = False) -> None:
    """Claim and work until cancelled, or once."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as below nohup
            asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    running: set[Attempt] = set()
    listening = asyncio.create_task(_listen(client, running))
    workers = [asyncio.create_task(_claims(client, how, running, once=once)) for _ in range(concurrency)]
    with contextlib.suppress(asyncio.CancelledError):
        try:
            # `gather` would be over as soon as the first is, and the others then cancelled once more.
            over, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in over:
                worker.result()
        finally:
            await stop(*workers, listening)


async def _claims(client: AsyncClient, how: Work, running: set[Attempt], *, once: bool) -> None:
    """One task after another; a pause, growing, while that gets nothing on."""
    idle = 0
    by: object = None  # whose reservation was told of last
    while True:
        try:
            claim = await client.claim(wait=limits.WAIT, paths=how.paths)
        except Unreachable as error:
            say(f"{error.detail} Trying again.")
            await asyncio.sleep(PAUSES[0])
            continue
        except Reserved as error:
            now = (error.fields.get("task"), error.fields.get("attempt"))
            if by != now:
                say(f"{error.detail} Trying again.")
            by = now
            await asyncio.sleep(working.RESERVED)
            continue
        by = None
        if claim is None:
            continue
        attempt = Attempt(client, how, claim)
        running.add(attempt)
        try:
            got_on = await attempt.run()
        finally:
            running.discard(attempt)
        if once:
            return
        idle = 0 if got_on else idle + 1
        if idle:
            await asyncio.sleep(PAUSES[min(idle, len(PAUSES)) - 1])


async def _listen(client: AsyncClient, running: set[Attempt]) -> None:
    """Look after an attempt at once when its task was cancelled, its member paused, and the like.

    Who can't listen any more looks after all of them, and their heartbeats tell what is the matter.
    """
    while True:
        with contextlib.suppress(SquadError):
            last = (await client.board()).last
            for attempt in running:
                attempt.look.set()  # it may have ended before
            async with contextlib.aclosing(client.feed(last, kinds=ENDS)) as events:
                async for event in events:
                    for attempt in running:
                        if attempt.number == event.task:
                            attempt.look.set()
        for attempt in running:
            attempt.look.set()
        await asyncio.sleep(PAUSES[1])
