"""What a hosted member does at a task, as a runner writes it: steps of every kind and state."""

from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from agentsquad.schemas.steps import ASKING
from backend.core.database import Database
from backend.operations import steps
from backend.operations.access import Actor, SquadRef
from backend.operations.steps import Outcome, StepNew

MODEL: Final = "openai:gpt-5.2"
PRICE: Final = Decimal("0.05")  # that a call reserves
STEPS: Final = 7  # of one attempt


def answer(*parts: dict[str, Any]) -> dict[str, Any]:
    """What a model answered."""
    return {"message": {"kind": "response", "parts": list(parts)}}


def text(said: str) -> dict[str, Any]:
    """That it said something."""
    return {"part_kind": "text", "content": said}


async def keep(database: Database, squad: UUID, member: UUID, claim: str, said: str = "split", first: int = 1) -> None:
    """Seven steps at a claimed task, the last one under way; `said` stands in each text that there is.

    Args:
        database: where.
        squad: the squad's id.
        member: the id of the member that holds the claim.
        claim: its handle.
        said: a text.
        first: the number of the first of them.
    """
    actor, ref = Actor(member_id=member, squad_id=squad), SquadRef(squad, None)
    thought: dict[str, Any] = {"part_kind": "thinking", "content": f"Shall I {said}?"}
    called = {"part_kind": "tool-call", "tool_name": "create_tasks", "args": {"tasks": [{"title": said}]}}
    costs: dict[str, Any] = {"input_tokens": 1200, "output_tokens": 34}

    async def begin(number: int, kind: str, name: str, **more: Any) -> None:
        given: dict[str, Any] = {"tokens": 8192, "cost": PRICE} if kind in ASKING else {}
        step = StepNew(claim, first + number, kind, name, **given | more)
        assert await database.transact(steps.begin, actor, ref, step)

    async def end(number: int, content: Any, **more: Any) -> None:
        assert await database.transact(steps.end, actor, ref, claim, first + number, Outcome(content, **more))

    prompt = StepNew(claim, first, "prompt", content={"text": f"You hold this task now.\n\n{said}"})
    await database.transact(steps.record, actor, ref, prompt)
    await begin(1, "answer", MODEL)
    await end(1, answer(thought, text(f"I {said} it."), called), cost=Decimal("0.0042"), **costs)
    arguments = {"answer": first + 1, "index": 0, "arguments": called["args"]}
    await begin(2, "tool", "create_tasks", content=arguments)
    await end(2, arguments | {"result": f"#2 {said}", "error": False})
    await begin(3, "answer", MODEL)
    await end(3, {"error": f"429: {said} later"}, state="failed")
    await begin(4, "summary", MODEL, cost=None)
    await end(4, {"text": f"So far: {said}", "up_to": first + 3}, **costs)
    await begin(5, "tool", "shop_search", content=arguments | {"index": 1})
    await end(5, arguments | {"index": 1, "result": f"no {said}", "error": True}, state="failed")
    await begin(6, "answer", MODEL)
