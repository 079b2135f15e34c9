"""How a hosted member is run."""

from typing import Annotated

from pydantic import Field

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Address, Incoming, Name, Title, Whole


class ModelSettings(Incoming):
    """What is asked of the model with each call; what is null is left to it."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: Annotated[Whole, Field(ge=1, le=1_000_000)] | None = Field(default=None, description="Of an answer.")
    timeout: Whole = Field(default=120, ge=1, le=600, description="Seconds that a call may take.")
    window: Annotated[Whole, Field(ge=1_000, le=10_000_000)] | None = Field(
        default=None, description="Tokens that the model can read; null: what is known of it."
    )


class ToolServer(Incoming):
    """An MCP server over streamable HTTP whose tools the member may call."""

    name: Name
    url: Address


class Hosting(Incoming):
    """How a hosted member is run. No key is in it: those are the administrator's, by host."""

    model: Title = Field(
        default="default", description="`provider:model`, `offline:rehearsal`, or `default`: the server's own."
    )
    base_url: Address | None = Field(
        default=None, description="An OpenAI-compatible address instead of the provider's own."
    )
    settings: ModelSettings = ModelSettings()
    tools: list[ToolServer] = Field(default=[], max_length=limits.TOOLS)
