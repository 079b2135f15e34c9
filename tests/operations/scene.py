"""One squad and the people around it: what the scenarios of the operations are played with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import orjson
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.events import Event
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.messages import Inbox, Message, MessageNew, Messages
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import (
    AcceptNew,
    Asked,
    AskNew,
    Attempts,
    Claim,
    Claims,
    CompleteNew,
    FailNew,
    HandoffNew,
    Heartbeat,
    HeartbeatNew,
    Held,
    RejectNew,
    ReleaseNew,
    Task,
    TaskNew,
    TasksMade,
    WaitNew,
    Why,
)
from backend.core import failures
from backend.core.errors import SquadError
from backend.core.statements import Query
from backend.models import User
from backend.operations import events, members, messages, squads, tasks
from backend.operations.access import ME, Actor, MemberRef, SquadRef
from tests.operations import folding

HELD: dict[str, type[Held]] = {
    "release": ReleaseNew,
    "handoff": HandoffNew,
    "wait_for_children": WaitNew,
    "accept": AcceptNew,
    "reject": RejectNew,
}
MINE = MemberRef(None, ME)
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Scene:
    """`owner` owns the squad; `ada` and `tess` come with tokens, `paul` with a key; `eve` is no part of it."""

    db: AsyncSession
    squad: SquadRef
    owner: Actor
    ada: Actor
    tess: Actor
    paul: Actor
    eve: Actor

    async def do(
        self,
        operation: Callable[Concatenate[AsyncSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run an operation as `transact` does: all of it or nothing, and errors of our own."""
        try:
            async with self.db.begin_nested():
                return await operation(self.db, *args, **kwargs)
        except SquadError:
            raise
        except Exception as error:
            raise failures.translated(error) from error

    async def read(self, query: Query, *args: object) -> dict[str, Any] | None:
        """The first row of a read operation."""
        row = (await self.db.execute(query(*args))).mappings().first()
        return None if row is None else {name: plain(value) for name, value in row.items()}

    async def create(self, *new: TaskNew | str, by: Actor | None = None) -> list[Task]:
        """Make a batch; a text is a task that has nothing but a title."""
        batch = [TaskNew(title=item) if isinstance(item, str) else item for item in new]
        made = await self.do(tasks.create, by or self.owner, self.squad, batch)
        return TasksMade.model_validate_json(made).items

    async def claims(self, actor: Actor, number: int | None = None, limit: int = 1, **how: Any) -> list[Claim]:
        """Claim that task, or the next ones."""
        claimed = await self.do(tasks.claim, actor, self.squad, number, limit, **how)
        return [] if claimed is None else Claims.model_validate_json(claimed).items

    async def claim(self, actor: Actor, number: int | None = None, **how: Any) -> Claim | None:
        """Claim the next task, or that one."""
        return next(iter(await self.claims(actor, number, **how)), None)

    async def hold(self, actor: Actor, number: int | None = None, **how: Any) -> Claim:
        """Claim what is surely there."""
        claimed = await self.claim(actor, number, **how)
        assert claimed is not None
        return claimed

    async def heartbeat(self, actor: Actor, claim: str) -> Heartbeat:
        """Extend a lease."""
        body = await self.do(tasks.heartbeat, actor, self.squad, number_of(claim), HeartbeatNew(claim=claim))
        return Heartbeat.model_validate_json(body)

    async def complete(self, actor: Actor, claim: str, result: Any = None) -> Task:
        """Hand in a result."""
        given = CompleteNew(claim=claim, result=result)
        return Task.model_validate_json(await self.do(tasks.complete, actor, self.squad, number_of(claim), given))

    async def fail(self, actor: Actor, claim: str, reason: str = "no", *, retry: bool = False) -> Task:
        """Give up."""
        given = FailNew(claim=claim, reason=reason, retry=retry)
        return Task.model_validate_json(await self.do(tasks.fail, actor, self.squad, number_of(claim), given))

    async def held(self, verb: str, actor: Actor, claim: str, **given: Any) -> Task:
        """Do as a holder: `release`, `handoff`, `wait_for_children`, `accept` or `reject`."""
        body = HELD[verb](claim=claim, **given)
        return Task.model_validate_json(await self.do(getattr(tasks, verb), actor, self.squad, number_of(claim), body))

    async def steer(self, verb: str, actor: Actor, number: int, *given: Any) -> Task:
        """Do as a creator or an owner: `update`, `cancel`, `retry`, `block`, `resume`, a dependency or an answer."""
        return Task.model_validate_json(await self.do(getattr(tasks, verb), actor, self.squad, number, *given))

    async def ask(self, actor: Actor, claim: str, question: str = "why?", to: str | None = None) -> Asked:
        """Ask a person, and wait."""
        given = AskNew(claim=claim, question=question, to=to)
        return Asked.model_validate_json(await self.do(tasks.ask, actor, self.squad, number_of(claim), given))

    async def why(self, number: int) -> Why:
        """What a task waits for."""
        row = await self.read(tasks.why, self.owner, self.squad, number)
        assert row is not None
        return Why.model_validate(row["why"])

    async def send(self, actor: Actor, **given: Any) -> int:
        """Send a message. Answers its position."""
        given.setdefault("body", "hello")
        return (await self.do(messages.send, actor, self.squad, MessageNew(**given)))[0]

    async def inbox(self, actor: Actor, *by: str, after: int = 0, limit: int = 50) -> Inbox:
        """One's own messages."""
        return Inbox.model_validate(await self.read(messages.inbox(*by), actor, self.squad, MINE, after, limit))

    async def thread(self, number: int) -> list[Message]:
        """What was written about a task."""
        page = await self.read(messages.page("task"), self.owner, self.squad, 0, 200, number)
        return Messages.model_validate(page).items

    async def attempts(self, number: int) -> list[tuple[str, str, str | None]]:
        """The attempts at a task: of what kind, whose, and how each ended."""
        found = Attempts.model_validate(await self.read(tasks.attempts, self.owner, self.squad, number))
        return [(attempt.kind, attempt.member, attempt.outcome) for attempt in found.items]

    async def lapse(self) -> int:
        """Sweep the squad."""
        assert self.squad.id is not None
        return await self.do(tasks.lapse, self.squad.id)

    async def task(self, number: int) -> Task:
        """One task."""
        row = await self.read(tasks.get, self.owner, self.squad, number)
        assert row is not None
        return Task.model_validate(row["task"])

    async def end_lease(self, number: int) -> None:
        """Let the time of a lease pass."""
        over = (
            "UPDATE tasks SET lease_ends_at = clock_timestamp() - interval '1 ms' WHERE squad_id = :s AND number = :n"
        )
        await self.db.execute(text(over), {"s": self.squad.id, "n": number})

    async def log(self) -> list[dict[str, Any]]:
        """Every event of the squad; each is one of the union."""
        page = await self.read(events.after(), self.owner, self.squad, 0, 10_000)
        assert page is not None
        items: list[dict[str, Any]] = page["items"]
        for item in items:
            EVENT.validate_python(item)
        return items

    async def kinds(self, of: int | None = None) -> list[str]:
        """The kinds of events, of the squad or of one task."""
        return [event["kind"] for event in await self.log() if of in (None, event["task"])]

    async def disagreements(self) -> list[str]:
        """Where log and tables differ."""
        return folding.differences(await self.log(), await self.tables())

    async def tables(self) -> folding.State:
        """The tables, as a fold would be."""
        tables: folding.State = orjson.loads(
            str(await self.db.scalar(text(f"SELECT CAST(({folding.tables(self.squad.id)}) AS text)")))
        )
        return tables


def number_of(claim: str) -> int:
    """The task of a claim."""
    return int(claim.partition("/")[0])


def plain(value: Any) -> Any:
    """What PostgreSQL built as JSON, whether or not SQLAlchemy knew that it was."""
    return orjson.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value


async def account(db: AsyncSession, email: str, *, is_admin: bool = False) -> Actor:
    """An account and what its key would stand for."""
    user = User(email=email, is_admin=is_admin)
    db.add(user)
    await db.flush()
    return Actor(user_id=user.id, is_admin=is_admin)


async def play(db: AsyncSession, *, lease_seconds: int = 60, max_tries: int = 3) -> Scene:
    """Set the scene."""
    owner = await account(db, "owner@example.com")
    paul = await account(db, "paul@example.com")
    eve = await account(db, "eve@example.com")
    new = SquadNew(name="webshop", lease_seconds=lease_seconds, max_tries=max_tries)
    squad = SquadRef(await squads.create(db, owner, new), None)

    async def member(given: MemberNew) -> Actor:
        return Actor(member_id=await members.add(db, owner, squad, given), squad_id=squad.id)

    ada = await member(MemberNew(name="ada", role="backend"))
    tess = await member(MemberNew(name="tess", role="tester"))
    await member(MemberNew(name="paul", kind="person", user="paul@example.com"))
    return Scene(db, squad, owner, ada, tess, paul, eve)
