"""Steps as a journal holds them."""

from datetime import UTC, datetime
from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

from agentsquad.schemas.steps import Step
from backend.runner import conversations

AT = datetime(2026, 11, 26, tzinfo=UTC)


def step(number: int, kind: str, content: Any, *, state: str = "finished", attempt: int = 1, name: str = "") -> Step:
    """One step."""
    return Step(
        step=number, attempt=attempt, member="ada", kind=kind, state=state, name=name, content=content,
        reserved_tokens=0, reserved_cost=None, input_tokens=None, output_tokens=None, cost=None, started_at=AT,
        ended_at=None if state == "started" else AT,
    )  # fmt: skip


def prompt(number: int, text: str = "do it", **more: Any) -> Step:
    """What the model is told."""
    return step(number, "prompt", {"text": text, "new": number == 1}, **more)


def answer(number: int, *said: str | tuple[str, dict[str, Any]], **more: Any) -> Step:
    """What it answers: texts, and calls as names with arguments."""
    parts = [TextPart(each) if isinstance(each, str) else ToolCallPart(*each) for each in said]
    return step(number, "answer", {"message": conversations.dumped(ModelResponse(parts))}, **more)


def tool(number: int, answer: int, index: int, name: str, result: Any = "ok", **more: Any) -> Step:
    """A call and what it came to."""
    content = {"answer": answer, "index": index, "arguments": more.pop("arguments", {}), "result": result}
    content |= {"error": more.pop("error", False)} | ({"ends": True} if more.pop("ends", False) else {})
    return step(number, "tool", content, name=name, **more)
