"""Asking a stand-in, as the runner asks a model."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic_ai.messages import ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from agentsquad.schemas.hosting import Hosting, ModelSettings
from backend.core.settings import Settings
from backend.runner.asking import Patience, ask
from backend.runner.models import Models
from tests.runner.standin import StandIn

HASTE: Final = Patience(first=0.001, longest=0.01)
TOOLS: Final = ModelRequestParameters(
    function_tools=[ToolDefinition(name="add", parameters_json_schema={"type": "object", "properties": {}})]
)


def local(keys: str = "") -> Settings:
    """Settings that allow a server on this machine."""
    return Settings(SQUAD_PRIVATE_NETWORKS="127.0.0.1", SQUAD_KEYS=keys)


@asynccontextmanager
async def at(served: StandIn, settings: Settings | None = None, **hosting: Any) -> AsyncIterator[Model]:
    """The model of a member whose address is the stand-in's."""
    async with Models(settings or local()) as models:
        yield await models.resolve(Hosting(**{"model": "small", "base_url": served.url} | hosting))


async def asked(
    model: Model,
    words: str = "What is 1 + 1?",
    patience: Patience = HASTE,
    on_text: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> ModelResponse:
    """What it answers."""
    messages = [ModelRequest(parts=[UserPromptPart(words)])]
    return await ask(model, messages, TOOLS, ModelSettings(**settings), on_text, patience)
