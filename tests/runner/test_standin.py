import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from typing import Any

import httpx2
import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.messages import UserPromptPart as Prompt

from agentsquad.schemas.hosting import Hosting, ModelSettings
from backend.runner.asking import ask
from backend.runner.models import Models
from tests.runner.asked import TOOLS, local
from tests.runner.standin import Answer, Body, planned, results

PLAN: list[Answer] = [
    {"text": "First.", "calls": [{"name": "add", "arguments": {"task": "{number}"}}]},
    {"calls": [{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 2}}]},
    {"text": "Task {number} is done."},
]


def task(number: int) -> ModelRequest:
    return ModelRequest(parts=[Prompt("Do it.\n\n" + json.dumps({"task": {"number": number, "title": "x"}}))])


async def test_a_plan_is_followed_by_what_the_conversation_holds_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.runner.standin"]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdout
    url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
    async with Models(local()) as models, httpx2.AsyncClient(base_url=url) as control:
        assert (await control.post("/plan", json=PLAN)).json() == 3
        model = await models.resolve(Hosting(model="m", base_url=f"{url}/v1"))

        async def step(messages: list[ModelMessage]) -> ModelResponse:
            return await ask(model, messages, TOOLS, ModelSettings(), lambda _: None)

        for number in (7, 8):
            messages: list[ModelMessage] = [ModelRequest(parts=[], instructions="Be good."), task(number)]
            for expected in (1, 2):
                response = await step(messages)
                calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
                assert len(calls) == expected
                assert (await step(messages)).parts[-1].part_kind == "tool-call"  # the same, asked again
                back = [ToolReturnPart(call.tool_name, "ok", call.tool_call_id) for call in calls]
                messages += [response, ModelRequest(parts=back)]
            messages.append(ModelRequest(parts=[Prompt("A message came.")]))
            assert (await step(messages)).parts == [TextPart(f"Task {number} is done.")]
            messages.append(task(9))
            assert [part.part_kind for part in (await step(messages)).parts] == ["text", "tool-call"]
        await control.post("/script", json=[{"status": 500}, {"text": "By script."}])
        assert (await step([task(1)])).parts == [TextPart("By script.")]
        calls_made: Any = (await control.get("/calls")).json()
    assert len(calls_made) == 2 * 6 + 2
    assert calls_made[0]["path"] == "/v1/chat/completions"
    assert calls_made[0]["headers"]["content-type"] == "application/json"
    assert calls_made[0]["body"]["model"] == "m"
    assert process.stdin
    process.stdin.close()
    assert await process.wait() == 0


@pytest.mark.parametrize(("done", "expected"), [(0, 0), (1, 1), (3, 2), (9, 2)])
def test_a_step_is_what_the_results_say(done: int, expected: int) -> None:
    user = {"role": "user", "content": 'x\n\n{"task": {"number": 3}}'}
    body: Body = {"messages": [user, {"role": "tool", "content": ""}, user, *[{"role": "tool", "content": ""}] * done]}
    assert results(body) == done
    assert planned(PLAN, body) == json.loads(json.dumps(PLAN[expected]).replace("{number}", "3"))
