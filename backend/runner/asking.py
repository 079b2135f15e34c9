"""Asking a model: streamed where it can, tried again where that may help, and one sentence where it doesn't.

This is the only place that tries again; the libraries below don't. An answer is returned whole or not at all.
"""

import asyncio
import random
from asyncio import sleep
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_ai import direct
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings as Wanted

from agentsquad.schemas.hosting import ModelSettings
from backend.runner import cleaning, complaints
from backend.runner.errors import ModelFailed

KNOWN: Final = 1_000  # endpoints that are remembered, at most
WORDLESS: Final = ""  # told when what was streamed so far counts no more, since the answer is asked for again


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and for how long.

    Args:
        tries: requests of a call, at most.
        total: seconds from the first request until no other one is begun.
        first: seconds before the second request, about; each wait after it is twice as long.
        longest: seconds of a wait, at most, also where more is asked for.
    """

    tries: int = 6
    total: float = 600.0
    first: float = 1.0
    longest: float = 60.0

    def wait(self, tried: int, asked: float | None) -> float:
        """Seconds to wait; never all at once, since whoever was refused together would come back together."""
        usual = self.first * 2.0 ** (tried - 1) * random.uniform(0.5, 1.5)  # noqa: S311  # no secret hangs on it
        return min(max(usual, asked or 0.0), self.longest)


async def ask(
    model: Model,
    messages: Sequence[ModelMessage],
    parameters: ModelRequestParameters,
    settings: ModelSettings,
    on_text: Callable[[str], None],
    patience: Patience = Patience(),
) -> ModelResponse:
    """What the model answers.

    Args:
        model: as `Models` resolved it.
        messages: the conversation.
        parameters: with the tools.
        settings: the member's; `timeout` is that of each request.
        on_text: gets the text as it comes, and "" when what came so far counts no more.
        patience: how often to try.

    Raises:
        ModelFailed: there is no answer, and asking again would help nobody now.
    """
    clock = asyncio.get_running_loop().time
    ends = clock() + patience.total
    streamed = not _plain.knows(model)
    tried = silent = 0
    paid = False
    while True:
        tried += 1
        said = _Said(on_text)
        try:
            async with asyncio.timeout(settings.timeout) as limit:
                response = await _once(model, messages, parameters, _wanted(settings), said if streamed else None)
        except Exception as error:
            if error is said.broken:
                raise
            complaint = complaints.about(error, model, settings.timeout, over=limit.expired())
        else:
            if not streamed:
                _plain.note(model)
            return cleaning.response(response)
        said.forget()
        paid |= complaint.paid
        if streamed and complaint.unstreamed and tried < patience.tries:
            streamed = False  # asked for the whole at once, and without a wait
            continue
        silent += complaint.silent
        wait = patience.wait(tried, complaint.wait)
        if not complaint.again or tried >= patience.tries or silent > 1 or clock() + wait > ends:
            raise ModelFailed(complaint.sentence, tried, paid=paid, passing=complaint.again, setup=complaint.setup)
        await sleep(wait)


class _Plain:
    """Endpoints that answered without a stream: a second request for each answer would be paid for."""

    def __init__(self) -> None:
        self.known: set[tuple[str | None, str]] = set()

    def knows(self, model: Model) -> bool:
        return (model.base_url, model.model_name) in self.known

    def note(self, model: Model) -> None:
        if len(self.known) >= KNOWN:
            self.known.clear()
        self.known.add((model.base_url, model.model_name))


class _Said:
    """The text of one try."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.any = False
        self.broken: Exception | None = None  # the caller's own, which is no garbage of an endpoint

    def __call__(self, text: str) -> None:
        if text:
            self.any = True
            try:
                self.tell(cleaning.text(text))
            except Exception as error:
                self.broken = error
                raise

    def forget(self) -> None:
        """Say that it counts no more."""
        if self.any:
            self.tell(WORDLESS)


async def _once(
    model: Model,
    messages: Sequence[ModelMessage],
    parameters: ModelRequestParameters,
    wanted: Wanted,
    said: _Said | None,
) -> ModelResponse:
    if said is None:
        return await direct.model_request(model, messages, model_settings=wanted, model_request_parameters=parameters)
    async with direct.model_request_stream(
        model, messages, model_settings=wanted, model_request_parameters=parameters
    ) as stream:
        async for event in stream:
            match event:
                case PartStartEvent(part=TextPart(content=text)):
                    said(text)
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                    said(text)
                case _:
                    pass
        response = stream.get()
    if response.state != "complete":
        raise UnexpectedModelBehavior("The stream was cut.")
    return response


_plain = _Plain()


def _wanted(settings: ModelSettings) -> Wanted:
    wanted = Wanted(timeout=float(settings.timeout), max_retries=0)
    if settings.temperature is not None:
        wanted["temperature"] = settings.temperature
    if settings.top_p is not None:
        wanted["top_p"] = settings.top_p
    if settings.max_tokens is not None:
        wanted["max_tokens"] = settings.max_tokens
    return wanted
