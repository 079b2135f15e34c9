"""`asq feed` and `asq log`."""

import asyncio
import json
import re
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from agentsquad.client import Client
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import TaskNew
from tests.cli.conftest import Start, Type, serving, starting
from tests.cli.terminals import Terminal
from tests.conftest import new_database
from tests.live.stage import piece, tell

Say = Callable[..., str]
Refused = Callable[..., str]


@pytest.fixture
def start(web: str) -> Iterator[Start]:
    """Start a command in the squad, which the end of the test ends."""
    with starting() as start:
        yield start


@pytest.fixture
def address(server_url: str, template: str) -> Iterator[str]:
    with new_database(server_url, template) as url:
        yield url


def readable(stream: IO[str]) -> bool:
    """Whether something came that nobody has read."""
    return bool(select.select([stream], [], [], 0)[0])


def without_times(said: str) -> list[str]:
    return [re.sub(r"\d\d:\d\d:\d\d", "…", line).strip() for line in said.splitlines()]


def test_the_log_says_what_happened(say: Say, web: str) -> None:
    say("task", "create", "Cart is lost")
    say("task", "claim", "--as", "ada")
    assert without_times(say("feed")) == [
        f"1  …  owner made the squad {web}.",
        "2  …  owner added owner.",
        "3  …  owner added ada as tester.",
        "4  …  owner made #1: Cart is lost",
        "5  …  ada claimed #1 (attempt 1).",
    ]
    assert say("log") == say("feed")


def test_the_log_is_narrowed(say: Say, typed: Type) -> None:
    say("task", "create", "a")
    say("task", "create", "b")
    say("task", "claim", "2", "--as", "ada")

    def positions(*arguments: str) -> list[int]:
        return [json.loads(line)["position"] for line in typed("log", "--json", *arguments).out.splitlines()]

    assert positions() == [1, 2, 3, 4, 5, 6]
    assert positions("--since", "4") == [5, 6]
    assert positions("--since", "1h") == [1, 2, 3, 4, 5, 6]
    assert positions("--since", "2999-01-01") == []
    assert positions("--task", "2") == [5, 6]
    assert positions("--kind", "task.created", "--kind", "task.claimed") == [4, 5, 6]
    assert positions("--member", "ada") == [3, 6]
    assert positions("--member", "nobody") == []
    say("pause", "ada", "--now")
    say("send", "hi", "--all")
    assert positions("--member", "ada", "--since", "4") == [6, 7, 8, 9]


def test_positions_are_found_by_time(web: str, typed: Type) -> None:
    events = [json.loads(line) for line in typed("log", "--json").out.splitlines()]
    for event in events[1:]:
        later = [json.loads(line) for line in typed("log", "--json", "--since", event["at"]).out.splitlines()]
        assert [each["position"] for each in later] == [
            each["position"] for each in events if each["at"] >= event["at"]
        ]


@pytest.mark.parametrize(
    "since", ["yesterday", "-1", "1.5", "", "10 weeks", "99999999999999999999d", "99999999999999999999"]
)
def test_what_is_no_time_is_one_sentence(refused: Refused, since: str) -> None:
    sentence = refused(2, "log", f"--since={since}")
    assert sentence.endswith(".")


def test_a_feed_can_be_followed(web: str, start: Start) -> None:
    following = start("feed", "--follow", "--json", "--since", "3")
    assert following.stdout is not None
    with Client() as client:
        for number in range(3):
            client.create_tasks([TaskNew(title=f"\u2028 {number}")])
            event = json.loads(following.stdout.readline())
            assert (event["position"], event["data"]["title"]) == (4 + number, f"\u2028 {number}")


async def test_ctrl_c_ends_it_with_130_and_no_word(web: str, start: Start) -> None:
    following = start("feed", "--follow")
    assert following.stdout is not None
    await asyncio.to_thread(following.stdout.readline)
    following.send_signal(2)
    assert await asyncio.to_thread(following.wait, 20) == 130
    assert "Traceback" not in following.stdout.read()


def test_a_terminal_shows_what_is_said_now_and_a_pipe_only_as_json(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "home", address) as (site, _):
        monkeypatch.setenv("SQUAD_URL", site.url)
        monkeypatch.setenv("SQUAD_API_KEY", site.key)
        monkeypatch.setenv("SQUAD_ID", "webshop")
        with Client() as client, starting() as start:
            squad = client.create_squad(SquadNew(name="webshop"))
            piped = start("feed", "--follow", "--text")
            programs = start("feed", "--follow", "--text", "--json")
            assert piped.stdout is not None
            assert programs.stdout is not None
            shown = Terminal("feed", "--follow", "--text")
            for stream in (piped.stdout, programs.stdout):
                assert [bool(stream.readline()) for _ in range(2)] == [True, True]
            while b"hal, #1: It is the" not in shown.said or not readable(programs.stdout):
                tell(address, piece(squad.id, "It is the"))
                shown.read(0.05)
            client.create_tasks([TaskNew(title="Cookie")])
            shown.until("made #1: Cookie")
            assert shown.close() == 130
            assert b"\x1b[2K" in shown.said.partition(b"It is the")[2]
            text = json.loads(programs.stdout.readline())
            assert (text["kind"], text["text"]) == ("step.text", "It is the")
            assert "position" not in text
            assert "made #1: Cookie" in piped.stdout.readline()


def test_text_is_of_now(refused: Refused) -> None:
    assert refused(2, "feed", "--text") == "--text shows what is said now; add --follow."
