"""A runner that kills itself at exactly one point of an attempt, and runners that are wrong.

The points are set into the runner's process from outside; the product knows nothing of them. A point is a place and
a phase: `answer 3 begun`, `tool 1.0 acting`. Answers count from 1, as the conversation holds them; tools by the answer
that calls them and their index in it.
"""

import asyncio
import functools
import os
import signal
from collections.abc import Callable
from typing import Any

from agentsquad.schemas.steps import Step
from backend.core.database import Database
from backend.core.settings import Settings
from backend.live.feed import Feed
from backend.operations import steps, tasks
from backend.runner import runners
from backend.runner.journal import Journal
from backend.runner.working import Work
from tests.campaigns import crew

ANSWER = ("beginning", "begun", "asked", "ending", "ended")  # `asked`: whoever is asked kills the one who asks
OUTSIDE = ANSWER  # of a tool of a server
INSIDE = ("acting", "acted")  # of a tool of the squad's, and of what the model is told
COMPLETION = ("completing", "completed")


async def run(notes: crew.Journal, url: str, point: str | None = None, wrong: str | None = None) -> None:
    """Run hosted members, until killed.

    Args:
        notes: gets a line whenever a step is begun.
        url: the database.
        point: where to die.
        wrong: what is wrong with this runner.
    """
    if wrong:
        WRONG[wrong]()
    if point:
        _die_at(point)
    _around(Journal, "begin", after=lambda: notes.note("begun"))
    settings = Settings(
        DATABASE_URL=url, SQUAD_POOL_SIZE=4, SQUAD_READ_CONNECTIONS=2, SQUAD_PRIVATE_NETWORKS="127.0.0.0/8"
    )
    database = Database(settings)
    feed = Feed(database)
    async with asyncio.TaskGroup() as group:
        group.create_task(feed.run())
        group.create_task(runners.run(database, feed))


def _die_at(point: str) -> None:
    place = ""

    def note(now: str) -> None:
        nonlocal place
        place = now

    def reached(phase: str) -> None:
        if f"{place} {phase}" == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def begins(journal: Journal, kind: str, _name: str, content: Any = None, **_: Any) -> None:
        note(_place(journal, kind, content))

    def acts(journal: Journal, _name: str, call: Any, _effect: Any) -> None:
        note(_place(journal, "tool", call))

    def refuses(journal: Journal, kind: str, content: Any, _name: str) -> None:
        note(_place(journal, kind, content))

    # What is patched of the operations ends inside of the transaction, what is patched of the journal behind it.
    _around(steps, "begin", after=lambda: reached("beginning"))
    _around(steps, "act", after=lambda: reached("acting"))
    _around(steps, "record", after=lambda: reached("acting"))
    _around(steps, "end", after=lambda: reached("ending"))
    _around(tasks, "complete", after=lambda: reached("completing"))
    _around(Journal, "begin", begins, lambda: reached("begun"))
    _around(Journal, "act", acts, lambda: reached("acted"))
    _around(Journal, "record", refuses, lambda: reached("acted"))
    _around(Journal, "hear", lambda *_: note("prompt"), lambda: reached("acted"))
    _around(Journal, "end", after=lambda: reached("ended"))
    _around(Work, "_complete", lambda *_: note("completion"), lambda: reached("completed"))


def _place(journal: Journal, kind: str, content: Any) -> str:
    answers = [step.step for step in journal.heard if step.kind == "answer" and step.state == "finished"]
    if kind == "tool":
        return f"tool {answers.index(content['answer']) + 1}.{content['index']}"
    return f"{kind} {len(answers) + 1}"


def _around(
    owner: Any,
    name: str,
    before: Callable[..., object] = lambda *_, **__: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def patched(*args: Any, **more: Any) -> Any:
        before(*args, **more)
        try:
            return await original(*args, **more)
        finally:
            after()

    setattr(owner, name, patched)


def _in_two_transactions() -> None:
    """The effect of a tool is committed before its step."""
    act = Journal.act

    async def torn(journal: Journal, name: str, call: dict[str, Any], effect: Callable[..., Any]) -> Any:
        result = await journal._database.transact(effect)

        async def done(_session: object) -> Any:
            return result

        return await act(journal, name, call, done)

    setattr(Journal, "act", torn)  # noqa: B010  # a method is put in the place of another


def _forgetful() -> None:
    """The journal is written, and nobody reads it."""
    setattr(Journal, "heard", property(lambda journal: journal.own))  # noqa: B010  # as above


def _stubborn() -> None:
    """A call of which nobody knows how it came out is made again."""
    heard: Callable[[Journal], list[Step]] = vars(Journal)["heard"].fget

    def known(journal: Journal) -> list[Step]:
        return [step for step in heard(journal) if (step.kind, step.state) != ("tool", "unknown")]

    setattr(Journal, "heard", property(known))  # noqa: B010  # as above


WRONG = {"in two transactions": _in_two_transactions, "forgetful": _forgetful, "stubborn": _stubborn}
