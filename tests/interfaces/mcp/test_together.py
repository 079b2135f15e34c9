"""Three agents by MCP, a command and a person finish one task together."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentsquad.client import Client
from tests.campaigns import checkers
from tests.campaigns.crew import eventually
from tests.cli.conftest import Asq, asq, home, server, start  # noqa: F401  (fixtures)
from tests.interfaces.http.streaming import PATIENCE
from tests.interfaces.mcp.conftest import Session, joined

PARTS = [
    {"title": "Keep the cart", "role": "developer", "review": "tester", "parent": 1},
    {"title": "Count the links", "role": "checker", "parent": 1},
]


async def work(agent: Session) -> Any:
    """The next claim: whoever finds nothing waits."""
    while True:
        claimed = await agent.call("claim_task")
        if "claim" in claimed:
            return claimed
        await agent.call("wait", seconds=10)


async def lead(agent: Session) -> None:
    """Splits the task, waits for its parts, and joins what they came to."""
    claimed = await work(agent)
    made = await agent.call("create_tasks", claim=claimed["claim"], tasks=PARTS)
    assert [each["number"] for each in made["items"]] == [2, 3]
    waiting = await agent.call("wait_for_children", claim=claimed["claim"])
    assert waiting["status"] == "blocked"
    assert waiting["why"].startswith("#1 waits for its children #2 ")
    claimed = await work(agent)
    assert claimed["claim"] == "1/2"
    results = {child["title"]: child["result"] for child in claimed["children"]}
    await agent.call("complete_task", claim=claimed["claim"], result=results)


async def developer(agent: Session) -> None:
    """Asks when it doesn't know, and mends what the review finds."""
    claimed = await work(agent)
    asked = await agent.call("ask_human", claim=claimed["claim"], question="Keep the old cookie name?")
    assert asked["status"] == "blocked"
    claimed = await work(agent)
    assert [(child["number"], child["result"]) for child in claimed["children"]] == [(asked["question"], "yes")]
    handed_in = await agent.call("complete_task", claim=claimed["claim"], result="Kept in Chrome.")
    assert handed_in["status"] == "in_review"
    claimed = await work(agent)
    (note,) = (await agent.call("fetch_inbox"))["items"]
    assert (note["sender"], note["task"], note["body"]) == ("tess", 2, "It is lost in Safari.")
    await agent.call("fetch_inbox", acknowledge=[note["message"]])
    await agent.call("complete_task", claim=claimed["claim"], result="Kept in Chrome and Safari.")


async def reviewer(agent: Session) -> None:
    """Reviews until nothing is amiss."""
    while True:
        claimed = await work(agent)
        assert claimed["kind"] == "review"
        good = "Safari" in claimed["task"]["result"]
        note = "" if good else "It is lost in Safari."
        await agent.call("review_task", claim=claimed["claim"], accept=good, note=note)
        if good:
            return


async def test_three_agents_a_command_and_a_person_finish_a_task_together(
    server: str,  # noqa: F811  (fixtures)
    asq: Asq,  # noqa: F811
    home: Path,  # noqa: F811
    start: Callable[..., "subprocess.Popen[str]"],  # noqa: F811
    database_url: str,
) -> None:
    async def say(*arguments: str) -> str:
        done = await asyncio.to_thread(asq, *arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout.rstrip()

    await say("squad", "create", "webshop")
    await say("use", "webshop")
    agents = {"lead": ("lead", lead), "ada": ("developer", developer), "tess": ("tester", reviewer)}
    tokens = {}
    for name, (role, _) in agents.items():
        await say("member", "add", name, "--role", role)
        tokens[name] = (await say("member", "token", name)).split()[0]
    checks = start("work", "--as", "checks", "--role", "checker", "--once", "--", "echo", '{"links": 12, "broken": 0}')
    assert await say("task", "create", "Keep the cart on refresh", "--role", "lead") == "#1 todo"

    async def at_work(name: str, mode: str) -> None:
        async with joined(server, tokens[name], mode) as agent:
            await agents[name][1](agent)

    async def person() -> None:
        async def is_asked() -> bool:
            return 'ada asks: "Keep the old cookie name?"' in await say("inbox", "--peek")

        await eventually(is_asked, PATIENCE)
        assert await say("answer", "4", "yes") == "#4 done"

    async with asyncio.timeout(3 * PATIENCE):
        await asyncio.gather(
            at_work("lead", "2026-07-28"), at_work("ada", "legacy"), at_work("tess", "2026-07-28"), person()
        )
    assert await asyncio.to_thread(checks.wait, PATIENCE) == 0
    with Client() as owner:
        whole = owner.task(1)
        assert (whole.status, whole.attempt) == ("done", 2)
        assert whole.result == {
            "Keep the cart": "Kept in Chrome and Safari.",
            "Count the links": {"links": 12, "broken": 0},
        }
        squad = owner.squad().id
    outcomes = re.findall(r"(attempt|review) (\d) by (\w+): (\w+)", await say("task", "show", "2"))
    assert outcomes == [
        ("attempt", "1", "ada", "waiting"),
        ("attempt", "2", "ada", "completed"),
        ("review", "3", "tess", "rejected"),
        ("attempt", "4", "ada", "completed"),
        ("review", "5", "tess", "accepted"),
    ]
    after = checkers.state(database_url, squad)
    assert checkers.torn(after) == []
    assert checkers.unfinished(after) == []
