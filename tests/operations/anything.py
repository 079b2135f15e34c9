"""A squad in which anything may have happened: random operations by random members, refused ones too."""

import contextlib
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agentsquad.schemas.budgets import BudgetNew
from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import MemberEdit, MemberNew, PauseNew
from agentsquad.schemas.tasks import AnswerNew, BlockNew, CancelNew, TaskNew
from backend.core.errors import SquadError
from backend.operations import budgets, members, steps
from backend.operations.access import Actor
from backend.operations.steps import Outcome, StepNew
from tests.operations.folding import State
from tests.operations.scene import Scene

NAMES = ("ada", "tess", "paul", "m0", "m1", "m2", "m3")


@dataclass
class Move:
    """Somebody, some task, and what there is."""

    scene: Scene
    chance: random.Random
    actor: Actor
    tables: State
    number: int

    @property
    def task(self) -> dict[str, Any]:
        task: dict[str, Any] = self.tables["tasks"][str(self.number)]
        return task

    @property
    def other(self) -> int:
        return self.chance.randrange(1, len(self.tables["tasks"]) + 1)

    async def create(self) -> None:
        new = TaskNew(
            title="x",
            role=self.chance.choice(("", "backend", "tester")),
            assignee=self.chance.choice((None, None, *NAMES)),
            review=self.chance.choice((None, None, "")),
            depends_on=sorted({self.other for _ in range(self.chance.randrange(3))}),
            parent=self.chance.choice((None, self.number)),
        )
        await self.scene.create(new, by=self.actor)

    async def work(self) -> None:
        for held in await self.scene.claims(self.actor, self.chance.choice((None, self.number)), 2):
            await self.journal(held.claim)
            await self.hold(self.chance.choice(("complete", "complete", "fail", "release", "ask", "keep")), held.claim)

    async def go_on(self) -> None:
        verb = self.chance.choice(("complete", "accept", "reject", "wait_for_children", "fail", "handoff"))
        await self.hold(verb, f"{self.number}/{self.task['attempt'] or 1}")

    async def hold(self, verb: str, claim: str) -> None:
        match verb:
            case "complete":
                await self.scene.complete(self.actor, claim, self.chance.choice((None, "well", {"n": 1.50})))
            case "fail":
                await self.scene.fail(self.actor, claim, retry=self.chance.random() < 0.5)
            case "ask":
                await self.scene.ask(self.actor, claim)
            case "reject":
                await self.scene.held(verb, self.actor, claim, note="no")
            case "handoff":
                await self.scene.held(verb, self.actor, claim, role="tester", note=self.chance.choice(("", "so")))
            case "release" | "accept" | "wait_for_children":
                await self.scene.held(verb, self.actor, claim)
            case _:
                pass

    async def cancel(self) -> None:
        given = CancelNew(cascade=self.chance.random() < 0.3)
        await self.scene.steer("cancel", self.scene.owner, self.number, given)

    async def retry(self) -> None:
        await self.scene.steer("retry", self.scene.owner, self.number)

    async def depend(self) -> None:
        verb = self.chance.choice(("add_dependency", "remove_dependency"))
        await self.scene.steer(verb, self.scene.owner, self.number, self.other)

    async def answer(self) -> None:
        await self.scene.steer("answer", self.actor, self.number, AnswerNew(answer=self.chance.choice((None, "yes"))))

    async def block(self) -> None:
        await self.scene.steer("block", self.scene.owner, self.number, BlockNew(reason="no"))

    async def resume(self) -> None:
        await self.scene.steer("resume", self.scene.owner, self.number)

    async def lapse(self) -> None:
        if self.task["holder"] and self.tables["members"][self.task["holder"]]["kind"] == "external":
            await self.scene.end_lease(self.number)
            await self.scene.lapse()

    async def step(self) -> None:
        """A step of the member that acts, or what comes too late of one that was begun."""
        begun = [step for key, step in self.tables["steps"].items() if key.startswith(f"{self.number}/")]
        under_way = [step for step in begun if step["state"] == "started"]
        if under_way or (begun and self.chance.random() < 0.5):
            step = self.chance.choice(under_way or begun)
            await self.end(f"{self.number}/{step['attempt']}", step["step"])
        else:
            await self.begin(f"{self.number}/{self.task['attempt'] or 1}", len(begun) + 1)

    async def journal(self, claim: str) -> None:
        """Some steps of a claim that is held."""
        number = claim.partition("/")[0]
        first = sum(key.startswith(f"{number}/") for key in (await self.scene.tables())["steps"]) + 1
        for step in range(first, first + self.chance.randrange(4)):
            if not await self.begin(claim, step) or self.chance.random() < 0.2:
                break
            await self.end(claim, step)

    async def begin(self, claim: str, number: int) -> bool | None:
        kind = self.chance.choice(("answer", "answer", "tool", "summary"))
        cost = self.chance.choice((None, Decimal("0.125"), Decimal("0.1")))
        new = StepNew(claim, number, kind, "m:x", None, 100, cost)
        return await self.scene.do(steps.begin, self.actor, self.scene.squad, new)

    async def end(self, claim: str, number: int) -> None:
        state = self.chance.choice(("finished", "failed"))
        paid = {"input_tokens": 40, "output_tokens": 2, "cost": self.chance.choice((None, Decimal("0.05")))}
        outcome = Outcome({"text": "so"}, state, **self.chance.choice(({}, paid)))  # type: ignore[arg-type]
        await self.scene.do(steps.end, self.actor, self.scene.squad, claim, number, outcome)

    async def budget(self) -> None:
        limits = BudgetNew(calls=self.chance.choice((None, 0, 5)), cost=self.chance.choice((None, 0.5)))
        if self.chance.random() < 0.5:
            await self.scene.do(budgets.set_task, self.scene.owner, self.scene.squad, self.number, limits)
        else:
            await self.scene.do(budgets.set_squad, self.scene.owner, self.scene.squad, limits)

    async def send(self) -> None:
        to = self.chance.choice(({"all": True}, {"task": self.number}, {"to": self.chance.choice(NAMES)}))
        await self.scene.send(self.actor, **to)

    async def rename(self) -> None:
        old, new = self.chance.sample(NAMES, 2)
        await self.scene.do(members.update, self.scene.owner, self.scene.squad, old, MemberEdit(name=new))

    async def host(self) -> None:
        edit = MemberEdit(hosting=self.chance.choice((None, Hosting(base_url="http://localhost"))))
        await self.scene.do(members.update, self.scene.owner, self.scene.squad, self.chance.choice(NAMES), edit)

    async def add(self) -> None:
        how: dict[str, Any] = self.chance.choice(({}, {"kind": "hosted", "hosting": Hosting(model=f"x:{self.number}")}))
        new = MemberNew(name=self.chance.choice(NAMES), **how)
        await self.scene.do(members.add, self.scene.owner, self.scene.squad, new)

    async def pause(self) -> None:
        name, given = self.chance.choice(NAMES), PauseNew(now=True)
        await self.scene.do(members.pause, self.scene.owner, self.scene.squad, name, given)
        if self.chance.random() < 0.8:
            await self.scene.do(members.resume, self.scene.owner, self.scene.squad, name)

    async def retire(self) -> None:
        if self.chance.random() < 0.3:
            await self.scene.do(members.retire, self.scene.owner, self.scene.squad, self.chance.choice(NAMES))


MOVES = (
    *[Move.create] * 2, *[Move.work] * 5, *[Move.go_on] * 3, Move.cancel, Move.retry, Move.depend, Move.answer,
    *[Move.step] * 2, Move.budget, Move.block, Move.resume, Move.lapse, Move.send, Move.rename, Move.host, Move.add,
    Move.pause, Move.retire,
)  # fmt: skip


async def play_on(scene: Scene, chance: random.Random, steps: int) -> None:
    """Do anything, as anybody, to anything."""
    await scene.create(*(TaskNew(title=f"{n}", review=chance.choice((None, ""))) for n in range(4)))
    for _ in range(steps):
        tables = await scene.tables()
        actor = chance.choice((scene.owner, scene.ada, scene.tess, scene.paul))
        move = Move(scene, chance, actor, tables, int(chance.choice(list(tables["tasks"]))))
        with contextlib.suppress(SquadError):
            await chance.choice(MOVES)(move)
