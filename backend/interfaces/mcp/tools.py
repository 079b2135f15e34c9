"""Tools: an async function of a caller and what was given; its docstring is what the model reads."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from mcp_types import CallToolResult, TextContent, ToolAnnotations
from mcp_types import Tool as Listed
from pydantic import BaseModel, ValidationError

from agentsquad.schemas.fields import Incoming
from backend.core.errors import SquadError
from backend.interfaces import invalid
from backend.interfaces.mcp import errors
from backend.interfaces.mcp.callers import Caller
from backend.interfaces.mcp.shapes import Answer

DROPPED: Final = {"title", "pattern", "examples", "minLength", "maxLength", "minItems", "maxItems"}
RENAMED: Final = {"ge": "minimum", "le": "maximum"}  # as pydantic leaves them beside validators of ours
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Args:
        name: of its function.
        description: when to call it, what comes back, what to do on errors.
        given: what it takes.
        answer: what it answers.
        run: does it.
        reads: whether it changes nothing.
    """

    name: str
    description: str
    given: type[Incoming]
    answer: type[Answer]
    run: Callable[[Caller, Any], Awaitable[Answer]]
    reads: bool

    def listed(self) -> Listed:
        """How clients see it."""
        return Listed(
            name=self.name,
            description=self.description,
            input_schema=schema(self.given),
            output_schema=schema(self.answer),
            annotations=ToolAnnotations(read_only_hint=self.reads, destructive_hint=False, open_world_hint=False),
        )

    async def call(self, caller: Caller, arguments: dict[str, Any]) -> CallToolResult:
        """Its answer, or the error as one: a model can't see any other."""
        try:
            try:
                given = self.given.model_validate(arguments)
            except ValidationError as error:
                raise invalid.error_of(error.errors()) from None
            answer = await self.run(await caller.seen(), given)
        except SquadError as error:
            return errors.result(errors.body(error))
        except Exception:
            log.exception("The tool %s failed.", self.name)
            return errors.result(errors.BROKEN)
        return CallToolResult(
            content=[TextContent(type="text", text=answer.model_dump_json(exclude_none=True))],
            structured_content=answer.model_dump(mode="json", exclude_none=True),
        )


def tool(run: Callable[[Caller, Any], Awaitable[Answer]], *, reads: bool = False) -> Tool:
    """Make a tool of a function."""
    signature = inspect.signature(run)
    given = signature.parameters["given"].annotation
    description = " ".join((inspect.getdoc(run) or "").split())
    return Tool(run.__name__, description, given, signature.return_annotation, run, reads)


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema, short: a model reads it with every request, and what it lacks is still checked here."""
    made = _short(model.model_json_schema())
    return {name: value for name, value in made.items() if name != "description"} | {"type": "object"}


def _short(part: Any) -> Any:
    if isinstance(part, list):
        return [_short(each) for each in part]
    if not isinstance(part, dict):
        return part
    some = [each for each in part.get("anyOf", ()) if each != {"type": "null"}]
    if len(some) == 1:  # what may be null may be left out
        return _short({name: value for name, value in part.items() if name != "anyOf"} | some[0])
    kept = {name: value for name, value in part.items() if isinstance(value, dict) or not _idle(name, value)}
    return {RENAMED.get(name, name): _short(value) for name, value in kept.items()}


def _idle(name: str, value: Any) -> bool:
    return name in DROPPED or (name == "default" and value in (None, "", []))
