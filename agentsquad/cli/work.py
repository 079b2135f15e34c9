"""`asq work`: any command is a member. It claims, runs the command on the task, and hands in what it prints."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from agentsquad.cli import processes
from agentsquad.client import AlreadyExists, AsyncClient, SquadError, Unreachable, checked
from agentsquad.schemas import limits
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.tasks import Claim, Task

POLL: Final = 1.0  # seconds between two looks at an empty board


class Stdin(Enum):
    """What the command reads."""

    PROMPT = "prompt"
    JSON = "json"
    NONE = "none"


@dataclass(frozen=True)
class Work:
    """How a member works.

    Args:
        command: program and arguments.
        squad: id or name.
        member: its name.
        once: end after one task instead of looking for the next.
        timeout: seconds that the command may take; None for as long as it likes.
        retry: whether a failed task is tried again while a try is left.
        stdin: what the command reads.
        poll: seconds between two looks at an empty board.
    """

    command: tuple[str, ...]
    squad: str
    member: str
    once: bool
    timeout: float | None
    retry: bool
    stdin: Stdin
    poll: float


def work(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="What is run on each task.")],
    member: Annotated[str, typer.Option("--as", metavar="NAME", help="Who works; added to the squad if new.")],
    role: Annotated[str, typer.Option(help="Role of a new member: whose tasks it takes.")] = "",
    squad: Annotated[str | None, typer.Option(envvar="SQUAD_ID", help="Which squad; not needed with only one.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after one task.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds that the command may take.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Let a failed task be tried again.")] = False,
    stdin: Annotated[Stdin, typer.Option(help="What the command reads.")] = Stdin.PROMPT,
    poll: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at an empty board.")] = POLL,
) -> None:
    """Work as a member: claim tasks and run COMMAND on each.

    The command finds the task as JSON in the file that SQUAD_TASK_FILE names, and a prompt on its standard
    input. What it prints is the result. Exit code 0 completes the task, anything else fails it with the end
    of its standard error. What it leaves running is ended with it. Ctrl-C stops the command and fails the
    task with a retry: it is free again while a try is left.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_work(command, member, role, squad, once, timeout, retry, stdin, poll))


async def _work(
    command: list[str],
    member: str,
    role: str,
    squad: str | None,
    once: bool,
    timeout: float | None,
    retry: bool,
    stdin: Stdin,
    poll: float,
) -> None:
    async with AsyncClient() as owner:
        found = squad or await _only_squad(owner)
        await _join(owner, found, member, role)
    how = Work(tuple(command), found, member, once, timeout, retry, stdin, poll)
    async with AsyncClient(member=member) as client:
        await loop(client, how)


async def _only_squad(client: AsyncClient) -> str:
    squads = await client.squads()
    if len(squads) != 1:
        raise SquadError("invalid", "Name the squad with --squad; you are part of " + (
            ", ".join(squad.name for squad in squads) or "none yet") + ".")  # fmt: skip
    return str(squads[0].id)


async def _join(client: AsyncClient, squad: str, member: str, role: str) -> None:
    new = checked(MemberNew, name=member, role=role)
    members = (await client.squad(squad)).members
    if all(known.name != member for known in members):
        with contextlib.suppress(AlreadyExists):  # somebody was quicker
            await client.add_member(squad, new)


async def loop(client: AsyncClient, how: Work) -> None:
    """Claim and work until cancelled, or once."""
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            try:
                claim = await client.claim(how.squad)
            except Unreachable as error:
                say(f"{error.detail} Trying again.")
                claim = None
            if claim is not None:
                await work_on(client, how, claim)
                if how.once:
                    return
            else:
                await asyncio.sleep(how.poll)


async def work_on(client: AsyncClient, how: Work, claim: Claim) -> None:
    """Run the command on one task, with heartbeats, and end the attempt by what it did."""
    task = claim.task
    say(f"{how.member} holds #{task.number} (attempt {task.attempt}); lease {claim.lease_seconds} s: {task.title}")
    try:
        await _run(client, how, claim)
    except SquadError as error:
        say(f"#{task.number} is lost: {error.detail}")


async def _run(client: AsyncClient, how: Work, claim: Claim) -> None:
    try:
        whole, stdin = _json(claim), _stdin(how.stdin, claim)
    except (ValueError, RecursionError):
        unfit = processes.Outcome(126, b"", b"What it builds on is nested too deeply for a command.")
        await _hand_in(client, how, claim, unfit)
        return
    with _task_file(whole) as file:
        environment = _environment(how, claim, client.url, file)
        running = asyncio.create_task(processes.run(how.command, environment, stdin, how.timeout))
        beating = asyncio.create_task(_beat(client, how, claim))
        try:
            await asyncio.wait({running, beating}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await _hand_in(client, how, claim, running.result())
            else:
                beating.result()
        except asyncio.CancelledError:
            await _stop(running)
            with contextlib.suppress(SquadError):
                await client.fail(how.squad, claim, "The worker was stopped.", retry=True)
            raise
        finally:
            await _stop(beating)
            await _stop(running)


async def _hand_in(client: AsyncClient, how: Work, claim: Claim, outcome: processes.Outcome) -> None:
    """End the attempt with what the command did; a result that can't be one fails it and says why."""
    number = claim.task.number
    reason = f"Exit code {outcome.code}. {_text(outcome.err)}"
    if outcome.code == 0:
        try:
            await _insist(how, partial(client.complete, how.squad, claim, result(outcome.out)))
        except SquadError as error:
            if error.refused != "invalid":
                raise
            reason = f"Exit code 0, but {error.detail}"
        else:
            say(f"#{number} is done")
            return
    reason = reason.strip()
    task = await _insist(how, partial(client.fail, how.squad, claim, reason, retry=how.retry))
    say(f"#{number} failed and is {task.status}: {reason}")


async def _insist(how: Work, end: Callable[..., Awaitable[Task]]) -> Task:
    """End an attempt however long the server is away: its restart must not cost what the command did."""
    again = False
    while True:
        try:
            return await end(again=again)
        except Unreachable as error:
            if not again:
                say(f"Not handed in yet, trying on: {error.detail}")
            again = True
            await asyncio.sleep(how.poll)


async def _beat(client: AsyncClient, how: Work, claim: Claim) -> None:
    if claim.lease_seconds is None:
        await asyncio.Event().wait()
    while True:
        await asyncio.sleep((claim.lease_seconds or limits.LEASE) / 3)
        with contextlib.suppress(Unreachable):
            await client.heartbeat(how.squad, claim)


async def _stop(task: asyncio.Task[Any]) -> None:
    """Cancel it and wait for its end, whatever that is."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # else asyncio complains that nobody looked


def _environment(how: Work, claim: Claim, url: str, file: Path) -> dict[str, str]:
    return os.environ | {
        "SQUAD_URL": url,
        "SQUAD_ID": str(claim.task.squad),
        "SQUAD_MEMBER": how.member,
        "SQUAD_TASK": str(claim.task.number),
        "SQUAD_CLAIM": claim.claim,
        "SQUAD_TASK_FILE": str(file),
    }


def _stdin(kind: Stdin, claim: Claim) -> bytes:
    match kind:
        case Stdin.NONE:
            return b""
        case Stdin.JSON:
            return _json(claim)
        case Stdin.PROMPT:
            return prompt(claim).encode()


def prompt(claim: Claim) -> str:
    """The task as a text for a language model."""
    parts = [f"# Task #{claim.task.number}: {claim.task.title}", claim.task.description]
    if claim.task.input:
        parts.append("## Input\n" + json.dumps(claim.task.input, ensure_ascii=False, indent=2))
    for done in claim.dependencies:
        result = done.result if isinstance(done.result, str) else json.dumps(done.result, ensure_ascii=False, indent=2)
        parts.append(f"## Result of #{done.number}: {done.title}\n{result}")
    return "\n\n".join(part for part in parts if part) + "\n"


@contextlib.contextmanager
def _task_file(whole: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="squad-task-", suffix=".json") as file:
        file.write(whole)
        file.flush()
        yield Path(file.name)


def _json(claim: Claim) -> bytes:
    whole = claim.model_dump(mode="json")
    return json.dumps(whole.pop("task") | whole, ensure_ascii=False).encode()


def result(out: bytes) -> Any:
    """JSON objects and arrays as what they are, if JSON can say them again; everything else as text.

    Raises:
        SquadError: `invalid`, it is too long to be looked at.
    """
    if len(out) > processes.KEPT:
        raise SquadError("invalid", f"it printed more than {processes.KEPT} bytes.")
    text = _text(out)
    if text.startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):  # no JSON, NaN, or nested too deeply
            value = json.loads(text)
            json.dumps(value, allow_nan=False)
            return value
    return text


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace").replace("\x00", "�").strip()


def say(line: str) -> None:
    """A line for whoever watches the worker."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
