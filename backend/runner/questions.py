"""A question to a model: what it may cost before, and what it has cost after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.usage import RequestUsage

from agentsquad.schemas.hosting import Hosting
from backend.operations.steps import Outcome
from backend.runner import asking, conversations, prices
from backend.runner.errors import ModelFailed

CREDIBLE: Final = 1_000_000_000  # tokens of a call; an endpoint that tells of more, or of less than none, tells nothing


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask, and how.

    Args:
        name: of the model, as `provider:model`.
        hosting: how the member is run.
        model: the model.
        parameters: with the tools.
        instructions: what the owner and we tell it.
    """

    name: str
    hosting: Hosting
    model: Model
    parameters: ModelRequestParameters
    instructions: str

    @property
    def window(self) -> int | None:
        """Tokens that the model can read; None where nobody knows."""
        return self.hosting.settings.window or self.model.context_window

    def sized(self, heard: Sequence[ModelMessage]) -> tuple[list[ModelMessage], int, Decimal | None]:
        """The messages with the instructions, the tokens that the call may take, and the dollars if that is known."""
        last = heard[-1]
        assert isinstance(last, ModelRequest)
        messages = [*heard[:-1], replace(last, instructions=self.instructions)]
        read = prices.size(messages, self.parameters)
        tokens = prices.estimate(messages, self.parameters, self.hosting.settings.max_tokens)
        return messages, tokens, self._price(RequestUsage(input_tokens=read, output_tokens=tokens - read))

    def bare(self) -> "Question":
        """The same model without tools and instructions."""
        return replace(self, parameters=ModelRequestParameters(), instructions="")

    async def put(self, messages: Sequence[ModelMessage], on_text: Callable[[str], None]) -> ModelResponse:
        """The answer.

        Raises:
            ModelFailed: there is none.
        """
        return await asking.ask(self.model, messages, self.parameters, self.hosting.settings, on_text)

    def answered(self, response: ModelResponse, content: Any = None) -> Outcome:
        """How a step ends with this answer; a summary keeps its text only, beside what it stands for, and needs one."""
        usage = response.usage
        state = "finished"
        if content is None:
            content = {"message": conversations.dumped(response)}
        elif text := conversations.text(response):
            content = content | {"text": text}
        else:
            state, content = "failed", content | {"error": "The model summed up nothing."}
        known = usage.has_values() and all(0 <= n <= CREDIBLE for n in (usage.input_tokens, usage.output_tokens))
        return Outcome(
            content,
            state,
            input_tokens=usage.input_tokens if known else None,
            output_tokens=usage.output_tokens if known else None,
            cost=self._price(usage) if known else None,
        )

    def failed(self, error: ModelFailed) -> Outcome:
        """How a step ends without an answer."""
        content = {"error": error.detail}
        if error.paid:
            return Outcome(content, "failed")
        return Outcome(content, "failed", input_tokens=0, output_tokens=0, cost=Decimal(0))

    def _price(self, usage: RequestUsage) -> Decimal | None:
        return prices.price(self.name, self.hosting.base_url, usage)
