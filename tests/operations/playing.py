"""A squad that the server and the model of the board play at once: both do an operation, or refuse it alike."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from copy import deepcopy
from typing import Any, Concatenate, TypeVar

import orjson
from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from agentsquad.schemas import limits
from backend.core.database import Database
from backend.core.errors import SquadError
from backend.core.settings import Settings
from backend.operations import tasks
from backend.operations.access import Actor, SquadRef
from tests.defects import install
from tests.operations import folding
from tests.operations.model import Board, By, Member, Task
from tests.operations.scene import Scene, play

NOWHERE = 99  # number of a task that isn't there
PICKS, ANY, WRONG = 30, 27, 29  # what is picked from there on is whatever is there, or isn't there
T = TypeVar("T")
Operation = Callable[Concatenate[AsyncSession, Actor, SquadRef, ...], Awaitable[Any]]


class Loop:
    """One connection on an event loop of its own, and how often each operation was accepted or refused."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._database = Database(Settings(DATABASE_URL=url))
        self.connection: AsyncConnection = self.run(self._connect())
        self.instead: list[str] = []  # functions that are installed in place of others
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it to its end."""
        return self._runner.run(coroutine)

    async def _connect(self) -> AsyncConnection:
        return await self._database.async_engine.connect()

    def close(self) -> None:
        """Leave nothing open."""
        self.run(self.connection.close())
        self.run(self._database.close())
        self._runner.close()


class Played(RuleBasedStateMachine):
    """One squad from its beginning, in a transaction that is rolled back, and the model of it."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.loop = loop
        self.scene = self.loop.run(self._begin())
        self.squad = self.scene.squad
        self.board = Board()
        self.board.members |= {
            "ada": Member("ada", "backend"),
            "tess": Member("tess", "tester"),
            "paul": Member("paul", kind="person"),
        }
        self.tokens: dict[str, Actor] = {
            key: getattr(self.scene, key) for key in ("owner", "ada", "tess", "paul", "eve")
        }

    async def _begin(self) -> Scene:
        self._outer = await self.loop.connection.begin()
        # Between two steps there may be more of Hypothesis than the server's patience.
        await self.loop.connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        db = AsyncSession(self.loop.connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
        await install(db, self.loop.instead)
        return await play(db, lease_seconds=limits.LEASE_MAX)  # it ends when the machine says so, and not before

    def teardown(self) -> None:
        """Leave nothing of the squad."""
        self.loop.run(self.scene.db.close())
        self.loop.run(self._outer.rollback())

    # Both at once.

    def both(self, verb: str, by: By, told: tuple[Any, ...], operation: Operation, *given: Any, **how: Any) -> Any:
        """Let the model and the server do it: both, or neither and for the same reason. Answers what each answered."""
        ahead = deepcopy(self.board)
        expected: Any = None
        refused: type[SquadError] | None = None
        try:
            expected = getattr(ahead, verb)(by, *told, **how)
        except SquadError as error:
            refused = type(error)
        answer: Any = None
        got: type[SquadError] | None = None
        try:
            answer = self.loop.run(self.scene.do(operation, self.actor(by), self.squad, *given))
        except SquadError as error:
            got = type(error)
        self.scene.db.expunge_all()  # each operation has a session of its own in the server
        assert got is refused, f"{verb} by {by}: the model says {refused}, the server {got}"
        if refused is None:
            self.board = ahead
            self.loop.done[verb] += 1
        else:
            self.loop.refused[f"{verb} {refused.code}"] += 1
        return expected, answer

    def actor(self, by: By) -> Actor:
        """The credential of a member; of nobody, if it never joined."""
        own = self.tokens.get(by.key, self.scene.eve)
        if by.instead_of is None:
            return own
        member = self.board.members.get(by.instead_of)
        name = member.name if member else "nobody"
        return Actor(user_id=own.user_id, member_id=own.member_id, squad_id=own.squad_id, acts_as=name)

    def some(self, pick: int, right: Callable[[Task], object] = bool) -> int:
        """The number of a task for which that holds; now and then of any, or of none."""
        if pick >= WRONG or not self.board.tasks:
            return NOWHERE
        fit = [number for number, task in self.board.tasks.items() if right(task)] if pick < ANY else []
        numbers = fit or list(self.board.tasks)
        return numbers[pick % len(numbers)]

    def claimed(self, pick: int, slip: str, other: By, status: str = "in_progress") -> tuple[By, int, int]:
        """Who holds a task, after somebody claimed one, and by which claim; or who doesn't, or by an older one."""
        if not self.any(lambda task: task.holder and task.status == status):
            wanted = "todo" if status == "in_progress" else status
            ways = [
                (By(key), number)
                for number, task in self.board.tasks.items()
                for key, member in self.board.members.items()
                if task.status == wanted and not member.retired and self.board.rank(task, key) is not None
            ]
            if ways:
                self.claim(*ways[pick % len(ways)], limit=1)
        number = self.some(pick, lambda task: task.holder and task.status == status)
        task = self.board.tasks.get(number)
        holder = By(task.holder) if task and task.holder else other
        if other.instead_of and self.board.members.get(holder.key, Member("", kind="")).kind == "external":
            holder = By("owner", holder.key)
        attempt = max(task.attempt if task else 1, 1)
        return other if slip == "other" else holder, number, max(attempt - (slip == "older"), 1)

    def any(self, right: Callable[[Task], object]) -> bool:
        """Whether there is a task for which that holds."""
        return any(map(right, self.board.tasks.values()))

    def claim(self, by: By, number: int | None, limit: int) -> list[int]:
        """Claim, and compare what was claimed, in its order."""
        expected, answer = self.both("claim", by, (number, limit), tasks.claim, number, limit)
        got = [item["task"]["number"] for item in orjson.loads(answer or '{"items": []}')["items"]]
        assert got == (expected or []), f"the model claims {expected}, the server {got}"
        return got

    # What always holds.

    @invariant()
    def agree(self) -> None:
        """The log folds to the tables, they are what the model says, and nothing waits for itself."""
        log, tables = self.loop.run(self.pictures())
        board = self.board
        wrong = folding.differences(log, tables) + self.differences(tables)
        wrong += [
            f"#{number} waits for itself"
            for number, task in board.tasks.items()
            if board.waits(task.depends_on, number)
        ]
        assert wrong == [], "\n".join(wrong)

    async def pictures(self) -> tuple[list[dict[str, Any]], folding.State]:
        """The log, each event of which is one of the union, and the tables."""
        return await self.scene.log(), await self.scene.tables()

    def differences(self, tables: folding.State) -> list[str]:
        """Where the model and the tables disagree."""
        names: dict[str | None, str | None] = {key: member.name for key, member in self.board.members.items()}
        expected: dict[str, dict[str, Any]] = {}
        for number, task in self.board.tasks.items():
            told = dict(vars(task))
            told |= {field: names.get(told[field]) for field in ("assignee", "holder", "worker")}
            told |= {"depends_on": sorted(task.depends_on), "created_by": names[told.pop("creator")]}
            del told["over"]
            expected[str(number)] = told
        got = {
            number: {name: task[name] for name in expected.get(number) or task}
            for number, task in tables["tasks"].items()
        }
        people = {member.name: (member.role, member.paused, member.retired) for member in self.board.members.values()}
        there = {
            name: (member["role"], member["paused_at"] is not None, member["retired_at"] is not None)
            for name, member in tables["members"].items()
        }
        wrong = [
            f"#{number}: the model says {expected.get(number)}, the tables {got.get(number)}"
            for number in expected.keys() | got.keys()
            if expected.get(number) != got.get(number)
        ]
        return wrong + ([] if people == there else [f"the model says {people}, the tables {there}"])
