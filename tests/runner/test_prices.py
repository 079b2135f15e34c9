import socket
import subprocess
import sys
from decimal import Decimal

import pytest
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from backend.runner.prices import OUTPUT, estimate, price, size

USAGE = RequestUsage(input_tokens=1_000_000, output_tokens=100_000)


def test_a_known_model_has_a_price() -> None:
    assert (price("openai:gpt-4o", None, USAGE) or 0) > 1
    assert price("openai-chat:gpt-4o", None, USAGE) == price("openai:gpt-4o", None, USAGE)
    assert (price("anthropic:claude-sonnet-4-5", None, USAGE) or 0) > 1
    assert (price("xai:grok-4", None, USAGE) or 0) > 1


@pytest.mark.parametrize(
    ("model", "base_url", "usage"),
    [
        ("openai:gpt-99", None, USAGE),
        ("nobody:gpt-4o", None, USAGE),
        ("ollama:qwen3", None, USAGE),
        ("gpt-4o", None, USAGE),
        ("", None, USAGE),
        ("openai:gpt-4o", "http://localhost:11434/v1", USAGE),
        ("openai:gpt-4o", None, RequestUsage()),
        ("openai:gpt-4o", None, RequestUsage(unmeasured_requests=1)),
        ("openai:gpt-4o", None, RequestUsage(input_tokens=1, unmeasured_requests=1)),
        ("openai:gpt-4o", None, RequestUsage(input_tokens=1, cache_read_tokens=5)),
    ],
)
def test_what_is_not_known_is_unknown_and_not_nothing(model: str, base_url: str | None, usage: RequestUsage) -> None:
    assert price(model, base_url, usage) is None


def test_the_rehearsal_costs_nothing() -> None:
    assert price("offline:rehearsal", None, RequestUsage()) == Decimal(0)


def test_an_estimate_is_rather_too_large_and_asks_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", None)
    nothing = ModelRequestParameters()
    words = "The quick brown fox jumps over the lazy dog. " * 100  # a thousand tokens
    messages = [ModelRequest(parts=[UserPromptPart(words)])]
    assert 1_000 < size(messages, nothing) < 2_000
    chinese = [ModelRequest(parts=[UserPromptPart("你好世界" * 100)])]
    assert size(chinese, nothing) > 400
    assert estimate(messages, nothing, 50) == size(messages, nothing) + 50
    assert estimate(messages, nothing, None) == size(messages, nothing) + OUTPUT


def test_everything_that_is_read_counts() -> None:
    nothing = ModelRequestParameters()
    long = "word " * 1_000
    for message in (
        ModelRequest(parts=[UserPromptPart(["piece", long])]),
        ModelRequest(parts=[], instructions=long),
        ModelRequest(parts=[ToolReturnPart("t", {"a": [long]}, tool_call_id="1")]),
        ModelResponse(parts=[TextPart(long)]),
        ModelResponse(parts=[ToolCallPart("t", {"a": long})]),
        ModelResponse(parts=[ToolCallPart("t", f'{{"a": "{long}"}}')]),
        ModelRequest(parts=[UserPromptPart(f"{long}\ud800\0")]),
    ):
        assert size([message], nothing) > 1_000
    tool = ToolDefinition(name="t", description=long, parameters_json_schema={"type": "object"})
    assert size([], ModelRequestParameters(function_tools=[tool])) > 1_000
    assert size([], nothing) == 0


def test_the_prices_are_there_before_the_first_model_is_made() -> None:
    script = "import sys, backend.runner.runners; assert 'genai_prices.data' in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
