"""`asq usage`, `asq budget`, and a hosted member's steps in `asq task show` and the log."""

import asyncio
import re
from collections.abc import Callable

import pytest

from agentsquad.client import Client
from agentsquad.schemas.budgets import TaskUsage, Usage
from agentsquad.schemas.steps import Step
from backend.core.database import Database
from backend.core.settings import Settings
from tests.cli.conftest import Site, Type
from tests.operations import journal

Say = Callable[..., str]
Refused = Callable[..., str]


@pytest.fixture
def worked(site: Site, say: Say) -> None:
    """#1 is held by ada, who has done what a hosted member does."""
    say("task", "create", "Cart is lost")
    say("task", "claim", "--as", "ada")
    with Client() as client:
        squad, ada = client.squad().id, client.member("ada").id

    async def keep() -> None:
        database = Database(Settings(DATABASE_URL=site.database))
        await journal.keep(database, squad, ada, "1/1")
        await database.close()

    asyncio.run(keep())


def test_nothing_spent_and_no_limit(say: Say) -> None:
    assert say("usage") == "           calls  tokens  cost\nthe squad  0      0       $0.00"
    assert say("budget") == "the squad may spend: no limit\nspent: $0.00; 0 tokens; 0 calls"


def test_what_was_spent_with_what_nobody_knows_the_price_of(worked: None, say: Say, typed: Type) -> None:
    assert say("usage", COLUMNS="200") == (
        "           calls            tokens                    cost\n"
        "the squad  3 + 1 under way  10,660 + 8,192 under way  $0.0542 + $0.05 under way + 1 call of unknown price\n"
        "ada        3                10,660                    $0.0542 + 1 call of unknown price"
    )
    assert say("usage", "1", COLUMNS="200").splitlines()[2].split("  ")[0] == "attempt 1"
    assert Usage(**typed("usage", "--json").json).squad.unpriced == 1
    assert TaskUsage(**typed("usage", "1", "--json").json).attempts[0].calls == 3


def test_a_limit_is_set_and_the_others_stay(say: Say, typed: Type) -> None:
    say("task", "create", "Cart")
    for task in ((), ("1",)):
        whose = "#1" if task else "the squad"
        assert say("budget", *task, "--cost", "5").splitlines()[0] == f"{whose} may spend: $5.00"
        assert say("budget", *task, "--tokens", "200000", "--calls", "0").splitlines() == [
            f"{whose} may spend: $5.00, 200,000 tokens, 0 calls",
            "spent: $0.00 of $5.00; 0 of 200,000 tokens; 0 of 0 calls",
        ]
        assert "$0.00 of $0.50" in say("budget", *task, "--cost", "0.5")
        assert say("budget", *task).splitlines()[0] == f"{whose} may spend: $0.50, 200,000 tokens, 0 calls"
        assert say("budget", *task, "--none", "--calls", "7").splitlines()[0] == f"{whose} may spend: 7 calls"
        assert say("budget", *task, "--none").splitlines()[0] == f"{whose} may spend: no limit"
    assert Usage(**typed("budget", "--calls", "3", "--json").json).squad.max_calls == 3
    assert TaskUsage(**typed("budget", "1", "--json").json).task.max_calls is None
    assert "owner set the budget of #1: 7 calls." in say("log")
    assert "owner set the budget of the squad: $5.00, 200,000 tokens, 0 calls." in say("log")


def test_refusals_are_a_sentence(say: Say, refused: Refused, typed: Type) -> None:
    assert refused(3, "usage", "9") == "Task not found"
    assert refused(3, "budget", "9", "--cost", "1") == "Task not found"
    assert refused(2, "budget", "--cost", "inf").startswith("cost can't be used: ")
    assert refused(2, "budget", "--tokens", str(2**63)).startswith("tokens can't be used: ")
    assert typed("budget", "--cost", "-1").code == 2
    token = typed("member", "token", "ada", "--json").json["secret"]
    assert refused(4, "budget", "--calls", "1", SQUAD_TOKEN=token) == "Only the squad's owner may do this."


def test_a_task_shows_a_line_of_each_step(worked: None, say: Say, typed: Type) -> None:
    shown = re.sub(r"\d\d:\d\d:\d\d|(?<=after )\d+ s|(?<=for )\d+ s", "…", say("task", "show", "1"))
    asked, called = "answer openai:gpt-5.2: ", 'create_tasks {"tasks": [{"title": "split"}]}'
    assert [line.removeprefix("…  ") for line in shown.partition("\nsteps\n")[2].splitlines()] == [
        "1  attempt 1  ada  prompt: finished  You hold this task now. split",
        f"2  attempt 1  ada  {asked}finished after …  1,234 tokens, $0.0042  I split it. calls {called}",
        "3  attempt 1  ada  tool create_tasks: finished after …  #2 split",
        f"4  attempt 1  ada  {asked}failed after …  up to 8,192 tokens, up to $0.05  429: split later",
        "5  attempt 1  ada  summary openai:gpt-5.2: finished after …  1,234 tokens, cost unknown  So far: split",
        "6  attempt 1  ada  tool shop_search: failed after …  no split",
        f"7  attempt 1  ada  {asked}started for …  up to 8,192 tokens, up to $0.05",
    ]
    steps = [Step(**step) for step in typed("task", "show", "1", "--json").json["steps"]]
    assert [step.kind for step in steps] == ["prompt", "answer", "tool", "answer", "summary", "tool", "answer"]
    whole = say("task", "show", "1", "--steps")
    assert "\nthinking: Shall I split?\nI split it.\ncalls: create_tasks" in whole
    assert '\narguments: {"tasks": [{"title": "split"}]}\nerror: no split\n' in whole


def test_the_log_tells_of_steps(worked: None, say: Say) -> None:
    told = say("log")
    for sentence in (
        "ada was told about #1: You hold this task now. split",
        "ada asks openai:gpt-5.2 about #1.",
        "openai:gpt-5.2 answered ada about #1 ($0.0042): I split it. calls create_tasks",
        "openai:gpt-5.2 summed up what was done about #1 (cost unknown): So far: split",
        "openai:gpt-5.2 failed ada at #1 (up to $0.05): 429: split later",
    ):
        assert sentence in told


def test_what_a_model_says_commands_no_terminal(site: Site, say: Say) -> None:
    say("task", "create", "x")
    say("task", "claim", "--as", "ada")
    with Client() as client:
        squad, ada = client.squad().id, client.member("ada").id

    async def keep() -> None:
        database = Database(Settings(DATABASE_URL=site.database))
        await journal.keep(database, squad, ada, "1/1", "\x1b[31mred\u202e " + "x" * 500)
        await database.close()

    asyncio.run(keep())
    for arguments in (("task", "show", "1"), ("task", "show", "1", "--steps"), ("log",)):
        assert not {"\x1b", "\u202e"} & set(say(*arguments))
    lines = say("task", "show", "1").partition("\nsteps\n")[2].splitlines()
    assert lines[0].endswith(" …")
    assert max(map(len, lines)) < 240
