"""What a call costs, by the prices that came with the installation; what isn't known there is unknown, not nothing.

Nothing here asks the network: neither for prices nor for a model's own way of counting tokens.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import genai_prices.data  # noqa: F401  # takes a quarter of a second, which the event loop would have to spare
from genai_prices import calc_price
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.usage import RequestUsage

from backend.runner.rehearsal import REHEARSAL

BYTES: Final = 3  # of a token, where most have four: an estimate that is too small would let a call pass a limit
FRAME: Final = 8  # tokens around each part of a message
OUTPUT: Final = 4_096  # tokens of an answer whose length isn't limited
# Providers whose prices stand under another name.
KNOWN_AS: Final = {
    "google-cloud": "google",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "azure-responses": "azure",
    "bedrock": "aws",
    "bedrock-mantle": "aws",
    "xai": "x-ai",
}


def price(model: str, base_url: str | None, usage: RequestUsage) -> Decimal | None:
    """Dollars that a call cost; None where that is unknown.

    Args:
        model: as `provider:model`.
        base_url: the member's own address: nobody here knows what it costs.
        usage: what the answer says about it.
    """
    if model == REHEARSAL:
        return Decimal(0)
    provider, _, name = model.partition(":")
    if base_url or usage.unmeasured_requests or not usage.has_values():
        return None
    try:
        return calc_price(usage, name, provider_id=KNOWN_AS.get(provider, provider)).total_price
    except (LookupError, ValueError):  # unknown to the list, or a usage that contradicts itself
        return None


def size(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> int:
    """Tokens that a call has the model read, rather too many than too few."""
    texts = [text for message in messages for text in _texts(message)]
    texts += [json.dumps([tool.description, tool.parameters_json_schema]) for tool in parameters.function_tools]
    return sum(-(-len(text.encode(errors="replace")) // BYTES) + FRAME for text in texts)


def estimate(messages: Sequence[ModelMessage], parameters: ModelRequestParameters, max_tokens: int | None) -> int:
    """Tokens to reserve for a call: what is read and what may be answered."""
    return size(messages, parameters) + (max_tokens or OUTPUT)


def _texts(message: ModelMessage) -> list[str]:
    texts = [getattr(message, "instructions", None) or ""]
    for part in message.parts:
        content: Any = getattr(part, "content", None)
        if content is None:
            content = getattr(part, "args", None)
        texts.append(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str))
    return texts
