"""One attempt of a command at a task: run it, renew the lease, and end the attempt by what it did."""

import asyncio
import contextlib
import math
import os
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from agentsquad.cli import processes, prompts, words
from agentsquad.client import AsyncClient, Invalid, LostClaim, SquadError, Unreachable
from agentsquad.schemas.tasks import Claim, Task

RELEASE: Final = 75  # exit code of a command that gives the task back: EX_TEMPFAIL of sysexits.h
LINE: Final = 300  # characters of a line that is said
GOT_NOTHING: Final = ("released", "lapsed")  # outcomes after which the same task may come back at once
FOREIGN: Final = ("SQUAD_API_KEY", "SQUAD_TOKEN")  # secrets of ours that are none of the command's


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
        member: its name.
        timeout: seconds that the command may take; None for as long as it likes.
        retry: whether a failed task is tried again while a try is left.
        stdin: what the command reads.
        paths: what is reserved for each attempt.
    """

    command: tuple[str, ...]
    member: str
    timeout: float | None = None
    retry: bool = False
    stdin: Stdin = Stdin.PROMPT
    paths: tuple[str, ...] = ()


class Attempt:
    """A claim on which the command is run.

    Args:
        client: acts as the member.
        how: how it works.
        claim: what it holds.
    """

    def __init__(self, client: AsyncClient, how: Work, claim: Claim) -> None:
        self._client = client
        self._how = how
        self._claim = claim
        self.number = claim.task.number
        self.look = asyncio.Event()  # somebody saw that it may have ended: ask at once

    async def run(self) -> bool:
        """Run the command and end the attempt. Answers whether that got the task on."""
        task, lease = self._claim.task, self._claim.lease_seconds
        until = f"lease {lease} s, renewed while the command runs" if lease else "without a lease"
        what = "review " if self._claim.kind == "review" else ""
        say(f"{self._how.member} holds {what}#{self.number} (attempt {task.attempt}); {until}: {task.title}")
        try:
            return await self._run()
        except LostClaim as error:
            return await self._ended(error)
        except (SquadError, OSError) as error:
            say(f"#{self.number} is given up: {error}")
            await self._give_back(str(error), math.inf)
            return False
        except asyncio.CancelledError:
            await self._give_back("The worker was stopped.")
            raise

    async def _run(self) -> bool:
        try:
            whole, stdin = prompts.document(self._claim), await self._stdin()
        except (ValueError, RecursionError):
            unfit = processes.Outcome(126, b"", b"What it builds on is nested too deeply for a command.")
            return await self._hand_in(unfit)
        token = await self._client.create_attempt_token(self._claim.claim)
        with prompts.task_file(whole) as file:
            environment = self._environment(token.secret, file)
            running = asyncio.create_task(processes.run(self._how.command, environment, stdin, self._how.timeout))
            beating = asyncio.create_task(self._beat())
            try:
                await asyncio.wait({running, beating}, return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    beating.result()  # why the claim is lost
                return await self._hand_in(running.result())
            finally:
                await stop(beating, running)

    async def _give_back(self, reason: str, patience: float | None = None) -> None:
        """Release it, if it is held still."""
        with contextlib.suppress(SquadError):
            await self._client.release(self._claim.claim, reason, patience=patience)

    async def _hand_in(self, outcome: processes.Outcome) -> bool:
        """End the attempt with what the command did, however long the server is away."""
        if outcome.code == RELEASE:
            reason = prompts.printed(outcome.err) or f"Exit code {RELEASE}."
            return self._given_back(await self._client.release(self._claim.claim, reason, patience=math.inf), reason)
        if self._claim.kind == "review":
            return await self._judge(outcome)
        reason = f"Exit code {outcome.code}. {prompts.printed(outcome.err)}".strip()
        if outcome.code == 0:
            try:
                result = prompts.result(outcome.out)
                task: Task = await self._client.complete(self._claim.claim, result, patience=math.inf)
            except Invalid as error:
                reason = f"Exit code 0, but {error.detail}"
            else:
                say(f"#{self.number} is {task.status.replace('_', ' ')}")
                return True
        task = await self._client.fail(self._claim.claim, reason, retry=self._how.retry, patience=math.inf)
        say(f"#{self.number} is {task.status}: {reason}")
        return True

    async def _judge(self, outcome: processes.Outcome) -> bool:
        """A review ends with what the command said; one that said nothing is no verdict."""
        said = prompts.verdict(outcome.out) if outcome.code == 0 else None
        if said is None:
            reason = f"No verdict, exit code {outcome.code}. {prompts.printed(outcome.err)}".strip()
            return self._given_back(await self._client.release(self._claim.claim, reason, patience=math.inf), reason)
        accepted, note = said
        if accepted:
            task = await self._client.accept(self._claim.claim, note, patience=math.inf)
        else:
            note = note or "Rejected without a word."
            task = await self._client.reject(self._claim.claim, note, patience=math.inf)
        say(f"#{self.number} is {'accepted' if accepted else 'rejected'} and {task.status.replace('_', ' ')}")
        return True

    def _given_back(self, task: Task, reason: str) -> bool:
        say(f"#{self.number} is given back and {task.status.replace('_', ' ')}: {reason}")
        return False

    async def _ended(self, error: LostClaim) -> bool:
        """Say how the attempt ended, which may be the command's own doing: it may wait, or have handed over."""
        outcome = None
        with contextlib.suppress(SquadError):
            attempts = await self._client.attempts(self.number)
            outcome = next((each.outcome for each in attempts if each.attempt == self._claim.task.attempt), None)
        how = f"ended: {outcome.replace('_', ' ')}" if outcome else f"is lost: {error.detail}"
        say(f"#{self.number}: attempt {self._claim.task.attempt} {how}")
        return outcome not in GOT_NOTHING

    async def _beat(self) -> None:
        """Renew the lease until the claim is lost."""
        lease = self._claim.lease_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.look.wait(), lease and lease / 3)
            self.look.clear()
            try:
                await self._client.heartbeat(self._claim.claim)
            except Unreachable as error:
                say(f"#{self.number}: {error.detail} Trying again.")

    async def _stdin(self) -> bytes:
        match self._how.stdin:
            case Stdin.NONE:
                return b""
            case Stdin.JSON:
                return prompts.document(self._claim)
            case Stdin.PROMPT:
                me, inbox = await self._client.me(), await self._client.inbox(unread=True)
                text = prompts.prompt(self._claim, me.instructions, inbox.items)
                if inbox.items:
                    await self._client.mark_read(inbox.items[-1].position)
                return text.encode()

    def _environment(self, token: str, file: Path) -> dict[str, str]:
        """The command's environment: it speaks as the member, and only while this attempt is live."""
        own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return own | {
            "SQUAD_URL": self._client.url,
            "SQUAD_TOKEN": token,
            "SQUAD_ID": str(self._claim.task.squad),
            "SQUAD_MEMBER": self._how.member,
            "SQUAD_TASK": str(self.number),
            "SQUAD_CLAIM": self._claim.claim,
            "SQUAD_TASK_FILE": str(file),
        }


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them and wait for their ends, whatever those are; whoever cancels this cancels them once more."""
    again = None
    for task in tasks:
        task.cancel()
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            again = error
            for task in tasks:
                task.cancel()
    for task in tasks:
        if not task.cancelled():
            task.exception()  # else asyncio complains that nobody looked
    if again is not None:
        raise again


def say(text: str) -> None:
    """A line for whoever watches the worker."""
    line = words.line(text)
    sys.stderr.write((line if len(line) <= LINE else f"{line[:LINE]}…") + "\n")
    sys.stderr.flush()
