"""`offline:rehearsal`: the model without a network. It follows rules, and says with each word what it is.

It reads the last prompt that holds a task: prose, a blank line, and one JSON object to the end. The same messages get
the same answer, so a squad can be tried, shown and tested without a key.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from backend.runner import lines

REHEARSAL: Final = "offline:rehearsal"
PIECES: Final = 4  # in which a text is streamed


class Rehearsal(Model):
    """The model."""

    @property
    def model_name(self) -> str:
        """What stands behind the colon."""
        return REHEARSAL.partition(":")[2]

    @property
    def system(self) -> str:
        """What stands before it."""
        return REHEARSAL.partition(":")[0]

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,  # noqa: ARG002  # rules have no temperature
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answer at once."""
        return _answer(messages, {tool.name for tool in model_request_parameters.function_tools})

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,  # noqa: ARG002  # part of every model
    ) -> AsyncIterator[StreamedResponse]:
        """Answer in a few pieces."""
        answer = await self.request(messages, model_settings, model_request_parameters)
        yield _Streamed(model_request_parameters, answer=answer)


@dataclass
class _Streamed(StreamedResponse):
    answer: ModelResponse = field(kw_only=True)

    def __post_init__(self) -> None:
        self.finish_reason = self.answer.finish_reason
        self._usage = self.answer.usage

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        for part in self.answer.parts:
            if isinstance(part, TextPart):
                step = -(-len(part.content) // PIECES)
                for start in range(0, len(part.content), step):
                    piece = part.content[start : start + step]
                    for event in self._parts_manager.handle_text_delta(vendor_part_id="text", content=piece):
                        yield event
            else:
                yield self._parts_manager.handle_part(vendor_part_id=None, part=part)

    async def close_stream(self) -> None:
        """There is nothing to close."""

    @property
    def model_name(self) -> str:
        return str(self.answer.model_name)

    @property
    def provider_name(self) -> str | None:
        return self.answer.provider_name

    @property
    def provider_url(self) -> None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self.answer.timestamp


def _answer(messages: Sequence[ModelMessage], tools: set[str]) -> ModelResponse:
    context, returned, words, calls = _read(messages)
    say = _decide(context, returned, tools)
    part = TextPart(say) if isinstance(say, str) else ToolCallPart(*say, tool_call_id=f"rehearsal-{calls + 1}")
    said = part.content if isinstance(part, TextPart) else part.args_as_json_str()
    return ModelResponse(
        [part],
        usage=RequestUsage(input_tokens=words, output_tokens=len(said.split())),
        model_name=REHEARSAL.partition(":")[2],
        provider_name=REHEARSAL.partition(":")[0],
        timestamp=datetime.now(UTC),
        finish_reason="stop" if isinstance(part, TextPart) else "tool_call",
    )


def _read(messages: Sequence[ModelMessage]) -> tuple[dict[str, Any], list[ToolReturnPart], int, int]:
    """What the last prompt with a task holds, which tools answered since, how many words there are, and tool calls."""
    context: dict[str, Any] = {}
    returned: list[ToolReturnPart] = []
    words = calls = 0
    for part in (part for message in messages for part in message.parts):
        match part:
            case UserPromptPart(content=str(text)):
                words += len(text.split())
                found = _object(text)
                if found:
                    context, returned = found, []
            case ToolReturnPart():
                words += len(part.model_response_str().split())
                returned.append(part)
            case ToolCallPart():
                words += len(part.args_as_json_str().split())
                calls += 1
            case TextPart(content=text):
                words += len(text.split())
            case _:
                pass
    return context, returned, words, calls


def _object(text: str) -> dict[str, Any] | None:
    _, _, rest = text.partition("\n\n")
    try:
        found = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("task"), dict) else None


def _decide(
    context: dict[str, Any], returned: list[ToolReturnPart], tools: set[str]
) -> str | tuple[str, dict[str, Any]]:
    """A text that ends the task, or a tool and its arguments."""
    done = {part.tool_name for part in returned if part.outcome == "success"}
    refused = next((part for part in returned if part.outcome != "success"), None)
    if refused:
        return lines.refusal(refused.tool_name, refused.model_response_str(wrap_if_error=False))
    if context.get("kind") == "review" and "review_task" in tools:
        return lines.reviewed(context) if "review_task" in done else ("review_task", lines.review(context))
    if context.get("children"):
        return lines.joined(context)
    if "create_tasks" in done:
        return lines.waiting(context) if "wait_for_children" in done else ("wait_for_children", {})
    roles = lines.roles(context)
    if dict(context.get("you") or {}).get("role") == "lead" and "create_tasks" in tools and roles:
        return "create_tasks", {"tasks": [lines.part_for(role, context) for role in roles]}
    return lines.contribution(context)
