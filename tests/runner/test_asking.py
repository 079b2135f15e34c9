import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.test import TestModel

from agentsquad.schemas.hosting import ModelSettings
from backend.core.settings import Settings
from backend.runner.asking import Patience, ask
from backend.runner.errors import ModelFailed
from tests.runner.asked import HASTE, asked, at, local
from tests.runner.standin import Answer, StandIn

CANARY = "canary-77a0"


@pytest.fixture
async def served() -> AsyncIterator[StandIn]:
    async with StandIn() as served:
        yield served


async def test_text_comes_as_it_is_said_and_whole(served: StandIn) -> None:
    served.script.append({"text": "The answer is two, I am sure: 2 — ✓."})
    told: list[str] = []
    async with at(served) as model:
        response = await asked(model, on_text=told.append)
    assert response.parts == [TextPart("The answer is two, I am sure: 2 — ✓.")]
    assert len(told) > 3
    assert "".join(told) == "The answer is two, I am sure: 2 — ✓."
    assert (response.usage.input_tokens > 0, response.usage.output_tokens > 0) == (True, True)
    assert (response.model_name, response.provider_name) == ("small", f"127.0.0.1:{served.port}")
    assert served.calls[0].body["stream"] is True


async def test_several_tools_are_called_at_once(served: StandIn) -> None:
    served.script.append({"calls": [{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 2}}]})
    async with at(served) as model:
        response = await asked(model)
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    assert [(call.tool_name, call.args_as_dict()) for call in calls] == [("add", {"a": 1}), ("add", {"a": 2})]
    assert len({call.tool_call_id for call in calls}) == 2


async def test_a_conversation_goes_on_with_what_tools_said(served: StandIn) -> None:
    served.policy = lambda body: {"text": body["messages"][-1]["content"]}
    call = ToolCallPart("add", {"a": 1}, tool_call_id="x")
    async with at(served) as model:
        messages: list[ModelMessage] = [
            ModelRequest(parts=[UserPromptPart("?")]),
            ModelResponse(parts=[call]),
            ModelRequest(parts=[ToolReturnPart("add", "it is 3", tool_call_id="x")]),
        ]
        response = await ask(model, messages, ModelRequestParameters(), ModelSettings(), lambda _: None, HASTE)
    assert response.parts == [TextPart("it is 3")]


async def test_the_members_settings_are_asked_for(served: StandIn) -> None:
    async with at(served) as model:
        await asked(model, temperature=0.5, top_p=0.9, max_tokens=77)
        await asked(model)
    body = served.calls[0].body
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["model"]) == (0.5, 0.9, 77, "small")
    assert not {"temperature", "top_p", "max_tokens", "max_completion_tokens"} & served.calls[1].body.keys()


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again(served: StandIn, status: int) -> None:
    served.script.extend([{"status": status}, {"status": status}, {"text": "At last."}])
    async with at(served) as model:
        assert (await asked(model)).parts == [TextPart("At last.")]
    assert len(served.calls) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {"cut": 12, "text": "Half of it is not an answer."},
        {"cut": 0, "text": "Nothing of it."},
        {"end": 12, "text": "Half of it, politely ended, is none either."},
        {"garbage": True},
        {"raw": "data: {broken\n\n", "type": "text/event-stream"},
        {"raw": 'data: {"choices": 7}\n\ndata: [DONE]\n\n', "type": "text/event-stream"},
        {"raw": 'data: {"error": {"message": "no"}}\n\n', "type": "text/event-stream"},
        {"raw": "[1, 2]", "type": "application/json"},
        {"raw": '{"choices": []}', "type": "application/json"},
        {"raw": "", "type": "application/json"},
    ],
)
async def test_what_is_no_whole_answer_is_tried_again_and_never_returned(served: StandIn, answer: Answer) -> None:
    served.policy = lambda _: answer
    told: list[str] = []
    async with at(served) as model:
        with pytest.raises(ModelFailed) as failed:
            await asked(model, on_text=told.append)
        assert failed.value.calls == len(served.calls) == HASTE.tries
        assert failed.value.passing
        assert failed.value.paid
        assert failed.value.detail.startswith(f"small at 127.0.0.1:{served.port} ")
        assert told[-1:] == ([""] if told else [])
        # The same endpoint, once it works.
        served.policy = None
        served.script.extend([answer, {"text": "Now."}])
        assert (await asked(model)).parts == [TextPart("Now.")]


async def test_what_was_streamed_in_vain_is_taken_back(served: StandIn) -> None:
    served.script.extend([{"cut": 10, "text": "Forget it all."}, {"text": "Keep it."}])
    told: list[str] = []
    async with at(served) as model:
        await asked(model, on_text=told.append)
    assert told == ["Forge", "t it ", "", "Keep ", "it."]


async def test_a_defect_of_who_listens_is_not_the_endpoints(served: StandIn) -> None:
    def broken(_: str) -> None:
        raise ZeroDivisionError

    async with at(served) as model:
        with pytest.raises(ZeroDivisionError):
            await asked(model, on_text=broken)
    assert len(served.calls) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "refuses the request (400); check the model's name, its settings and the tools."),
        (401, "accepts no key (401); the administrator can give its key as 127.0.0.1:{port}=… in SQUAD_KEYS."),
        (402, "has no credit left in its account; add some, or give the member another model."),
        (403, "allows this key no such call (403); the administrator can give its key as "),
        (404, "knows no such model, or is no address of models (404); check the model's name, "),
        (413, "refuses the request (413); "),
        (422, "refuses the request (422); "),
    ],
)
async def test_what_will_not_pass_is_said_at_once(served: StandIn, status: int, said: str) -> None:
    served.script.append({"status": status, "message": f"no {CANARY}"})
    async with at(served) as model:
        with pytest.raises(ModelFailed) as failed:
            await asked(model)
    assert failed.value.calls == len(served.calls) == 1
    assert not failed.value.passing
    assert not failed.value.paid
    assert said.format(port=served.port) in failed.value.detail
    assert CANARY not in failed.value.detail


@pytest.mark.parametrize("answer", [{"endless": True}, {"packed": True}])
async def test_what_is_too_much_may_have_been_paid_for(served: StandIn, answer: dict[str, Any]) -> None:
    served.script.append(answer)
    async with at(served) as model:
        with pytest.raises(ModelFailed) as failed:
            await asked(model)
    assert (failed.value.calls, failed.value.paid, failed.value.passing) == (1, True, False)


async def test_a_redirect_is_not_followed(served: StandIn) -> None:
    served.script.append({"redirect": "http://127.0.0.1:1/"})
    async with at(served) as model:
        with pytest.raises(ModelFailed, match="sends elsewhere \\(307\\)"):
            await asked(model)
    assert len(served.calls) == 1


@pytest.mark.parametrize("how", ["silent", "headers", "trickle"])
async def test_an_endpoint_that_hangs_ends_by_the_timeout(served: StandIn, how: str) -> None:
    served.policy = lambda _: {"hang": how}
    async with at(served) as model:
        with pytest.raises(ModelFailed, match=r"gave no whole answer within 1 s; raise the timeout") as failed:
            await asked(model, timeout=1)
    assert failed.value.calls == len(served.calls) == 2
    assert failed.value.paid
    for call in served.calls:
        await asyncio.wait_for(call.ended.wait(), 30)
        assert call.left


@pytest.mark.parametrize("how", ["silent", "headers", "trickle"])
async def test_who_cancels_hangs_up(served: StandIn, how: str) -> None:
    served.script.append({"hang": how})
    async with at(served) as model:
        asking = asyncio.ensure_future(asked(model))
        call = await asyncio.wait_for(served.arrivals.get(), 30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(call.ended.wait(), 30)
    assert call.left
    assert len(served.calls) == 1


async def test_who_cancels_a_wait_asks_no_more(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    served.script.append({"status": 503, "retry_after": "50"})
    async with at(served) as model:
        monkeypatch.setattr("backend.runner.asking.sleep", sleep)
        asking = asyncio.ensure_future(asked(model, patience=Patience()))
        await asyncio.wait_for(waiting.wait(), 30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert len(served.calls) == 1


def test_a_wait_grows_and_is_as_long_as_asked_for_but_not_longer_than_bearable() -> None:
    patience = Patience()
    assert [0.5 <= patience.wait(1, None) <= 1.5 for _ in range(50)] == [True] * 50
    assert len({patience.wait(1, None) for _ in range(50)}) > 1
    assert 8 <= patience.wait(5, None) <= 24
    assert (patience.wait(1, 30.0), patience.wait(1, 3600.0), patience.wait(40, None)) == (30.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("asked_for", "expected"),
    [
        ("7", 7.0),
        pytest.param(format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True), 60.0, id="a date"),
        ("99999999999999999999", 60.0),
        ("-1", 1.0),
        ("soon", 1.0),
    ],
)
async def test_an_endpoint_is_given_the_time_it_asks_for(
    served: StandIn, monkeypatch: pytest.MonkeyPatch, asked_for: str, expected: float
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    served.script.extend([{"status": 429, "retry_after": asked_for}, {"text": "Now."}])
    async with at(served) as model:
        monkeypatch.setattr("backend.runner.asking.sleep", sleep)
        monkeypatch.setattr("random.uniform", lambda *_: 1.0)
        await asked(model, patience=Patience())
    assert waited == [expected]


async def test_no_try_begins_when_the_time_is_over(served: StandIn) -> None:
    served.policy = lambda _: {"status": 429, "retry_after": "30"}
    async with at(served) as model:
        with pytest.raises(ModelFailed, match="\\(429\\); try later"):
            await asked(model, patience=Patience(total=20))
    assert len(served.calls) == 1


async def test_an_endpoint_that_is_not_there_is_named(served: StandIn) -> None:
    async with at(served) as model:
        await served.__aexit__()
        with pytest.raises(ModelFailed, match=f"small at 127.0.0.1:{served.port} can't be reached") as failed:
            await asked(model)
    assert (failed.value.calls, failed.value.paid) == (HASTE.tries, False)


async def test_an_address_that_is_not_allowed_is_said_at_once(served: StandIn) -> None:
    async with at(served, Settings()) as model:
        with pytest.raises(ModelFailed) as failed:
            await asked(model)
    assert failed.value.detail == (
        f"127.0.0.1:{served.port} is in a private network; the administrator can allow it with SQUAD_PRIVATE_NETWORKS."
    )
    assert (failed.value.calls, served.calls) == (1, [])


async def test_an_endpoint_that_answers_without_a_stream_is_asked_for_the_whole(served: StandIn) -> None:
    served.policy = lambda _: {"text": "All at once.", "plain": True}
    async with at(served) as model:
        assert (await asked(model)).parts == [TextPart("All at once.")]
    assert [call.body.get("stream", False) for call in served.calls] == [True, False]


async def test_an_endpoint_that_refuses_a_stream_is_asked_for_the_whole(served: StandIn) -> None:
    served.policy = lambda body: (
        {"status": 400, "message": "Stream=true isn't supported"}
        if body.get("stream")
        else {"calls": [{"name": "add"}]}
    )
    async with at(served) as model:
        (part,) = (await asked(model)).parts
    assert isinstance(part, ToolCallPart)
    assert len(served.calls) == 2


async def test_an_endpoint_that_did_not_stream_is_not_asked_to_again(served: StandIn) -> None:
    served.policy = lambda _: {"text": "All at once.", "plain": True}
    async with at(served) as model:
        await asked(model)
    async with at(served) as model:
        assert (await asked(model)).parts == [TextPart("All at once.")]
    assert [call.body.get("stream", False) for call in served.calls] == [True, False, False]


class Whole(TestModel):
    """A model that can't stream."""

    request_stream = Model.request_stream


async def test_a_model_that_cannot_stream_is_asked_for_the_whole() -> None:
    assert (await asked(Whole(call_tools=[], custom_output_text="Whole."))).parts == [TextPart("Whole.")]


async def test_the_librarys_own_test_models_can_be_asked() -> None:
    assert (await asked(TestModel(call_tools=[], custom_output_text="Fine."))).parts == [TextPart("Fine.")]


async def test_unmeasured_usage_says_so(served: StandIn) -> None:
    served.script.append({"text": "Free?", "usage": False})
    async with at(served) as model:
        assert (await asked(model)).usage.unmeasured_requests == 1


async def test_an_answer_can_be_stored_whatever_is_in_it(served: StandIn) -> None:
    served.script.append({"text": "a\0b \ud83d\ude00 \ud800 c", "calls": [{"name": "add", "arguments": {"a": "\0"}}]})
    told: list[str] = []
    async with at(served) as model:
        response = await asked(model, on_text=told.append)
    (text, call) = response.parts
    assert isinstance(text, TextPart)
    assert text.content == "ab 😀 \ufffd c"
    assert "\0" not in "".join(told)
    "".join(told).encode()
    assert isinstance(call, ToolCallPart)


@pytest.mark.parametrize(
    "answer", [{"text": "Well."}, {"status": 401}, {"status": 500}, {"garbage": True}, {"cut": 3, "text": "Gone."}]
)
async def test_no_key_is_in_a_log_an_error_or_a_repr(
    served: StandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, f"{CANARY}-{name}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Secret: {CANARY}-header")
    caplog.set_level(logging.DEBUG)
    served.policy = lambda _: answer
    settings = local(f"127.0.0.1:{served.port}={CANARY}-squad")
    async with at(served, settings) as model:
        try:
            said = repr(await asked(model))
        except ModelFailed as error:
            said = f"{error!r} {error.detail}"
        assert CANARY not in said + repr(model) + repr(model.provider) + repr(settings)
    assert {call.headers["authorization"] for call in served.calls} == {f"Bearer {CANARY}-squad"}
    assert all(CANARY not in str(call.body) + str(call.headers | {"authorization": ""}) for call in served.calls)
    assert CANARY not in caplog.text


async def test_no_key_of_the_environment_goes_to_a_members_address(
    served: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    async with at(served, model="openai:small") as model:
        await asked(model)
    assert "authorization" not in served.calls[0].headers
    assert served.calls[0].body["model"] == "small"
