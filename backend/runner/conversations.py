"""What a model is to hear and what is to be done next, folded from the journal, which is all the state there is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from agentsquad.schemas.steps import Step

UNKNOWN: Final = (
    "unknown: whatever ran this call died before it ended. It may have had its effect, or a part of it, or none; "
    "find out before you call it again."
)
SUMMARY: Final = "Your own summary of your earlier work on this task:\n\n"
NOT_DONE: Final = "not done: the attempt had ended before."
_RESPONSE: Final[TypeAdapter[ModelResponse]] = TypeAdapter(ModelResponse)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that nobody has begun yet: the how manieth of which answer."""

    answer: int
    index: int
    part: ToolCallPart


@dataclass(slots=True)
class Conversation:
    """Where a conversation stands.

    Args:
        messages: what the model hears.
        pending: calls of the last answer that are to be made.
        final: the text of the last answer, if it calls nothing and nothing was said since.
    """

    messages: list[ModelMessage] = field(default_factory=list)
    pending: list[Call] = field(default_factory=list)
    final: str | None = None


def fold(steps: Sequence[Step]) -> Conversation:
    """The conversation of these steps. What a summary stands for is left out, but for the first prompt."""
    results = {
        (step.content["answer"], step.content["index"]): step for step in steps if step.kind == "tool" and step.content
    }
    conversation = Conversation()
    parts: list[ModelRequestPart] = []
    for step in _heard(steps):
        if step.kind in ("prompt", "summary"):
            parts.append(UserPromptPart((SUMMARY if step.kind == "summary" else "") + step.content["text"]))
            conversation.final = None
        elif step.kind == "answer" and step.state == "finished":
            response = _RESPONSE.validate_python(step.content["message"])
            conversation.messages += [ModelRequest(parts), response]
            calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
            conversation.pending, parts = _returns(step.step, calls, results)
            conversation.final = None if calls else text(response)
    if parts:
        conversation.messages.append(ModelRequest(parts))
    return conversation


def text(response: ModelResponse) -> str:
    """What an answer says."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart)).strip()


def dumped(response: ModelResponse) -> Any:
    """An answer as the journal holds it."""
    return _RESPONSE.dump_python(response, mode="json")


def _heard(steps: Sequence[Step]) -> list[Step]:
    others = [step for step in steps if step.kind != "summary"]
    summaries = [step for step in steps if step.kind == "summary" and step.state == "finished"]
    if not summaries:
        return others
    last = summaries[-1]
    return [others[0], last, *(step for step in others if step.step > last.content["up_to"])]


def _returns(
    answer: int, calls: Sequence[ToolCallPart], results: dict[tuple[int, int], Step]
) -> tuple[list[Call], list[ModelRequestPart]]:
    """Of an answer's calls those that are to be made, and what the others came to, in the order of the calls."""
    over = any(results[key].content.get("ends") for key in results if key[0] == answer)
    pending: list[Call] = []
    parts: list[ModelRequestPart] = []
    for index, part in enumerate(calls):
        step = results.get((answer, index))
        if step is None and not over:
            pending.append(Call(answer, index, part))
            continue
        said = NOT_DONE if step is None else UNKNOWN if step.state == "unknown" else str(step.content["result"])
        good = step is not None and step.state == "finished" and not step.content["error"]
        parts.append(ToolReturnPart(part.tool_name, said, part.tool_call_id, outcome="success" if good else "failed"))
    return pending, parts
