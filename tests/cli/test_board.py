"""`asq board`, also as it is watched."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentsquad.client import Client
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import Board, TaskNew
from tests.cli.conftest import ASQ, Type, serving
from tests.cli.terminals import Terminal
from tests.conftest import new_database

Say = Callable[..., str]


def test_the_board_shows_who_does_what(say: Say, web: str) -> None:
    for title in ("Find it", "Mend it", "Tell it"):
        say("task", "create", title, *(["--after", "1"] if title == "Tell it" else []))
    say("task", "claim", "1", "--as", "ada")
    say("task", "claim", "2", "--as", "ada")
    say("task", "complete", "2", "x", "--as", "ada")
    head, _, heading, _, first = say("board", COLUMNS="120").splitlines()
    assert head == f"{web}   position 9"
    assert re.split(r"\s{2,}", heading.strip()) == ["blocked 1", "todo 0", "in progress 1", "in review 0", "ended 1"]
    cells = re.split(r"\s{2,}", first.strip())
    assert (cells[0], cells[2]) == ("#3 Tell it ← #1", "#2 Mend it")
    assert re.fullmatch(r"#1 ada \d+ s Find it", cells[1])
    assert [first.index(cell) for cell in cells] == [heading.index(name) for name in ("blocked", "in pr", "ended")]


def test_programs_get_the_schema(web: str, typed: Type) -> None:
    assert Board(**typed("board", "--json").json).name == web


def test_a_paused_squad_says_so_and_why_says_it_in_a_sentence(say: Say) -> None:
    say("task", "create", "x")
    say("pause")
    assert say("board").splitlines()[0].endswith("   paused")
    assert "paused" in say("why", "1")


@pytest.fixture
def address(server_url: str, template: str) -> Iterator[str]:
    with new_database(server_url, template) as url:
        yield url


def test_a_watched_board_is_redrawn_on_events_and_survives_a_restart(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with serving(home, address) as (site, server):
        monkeypatch.setenv("SQUAD_URL", site.url)
        monkeypatch.setenv("SQUAD_API_KEY", site.key)
        with Client() as client:
            client.create_squad(SquadNew(name="webshop"))
            client.add_member(MemberNew(name="ada"))
            watched = Terminal("board", "--watch")
            watched.until("position 3")
            client.create_tasks([TaskNew(title="Before")])
            watched.until("#1 Before")
            server.kill()
            server.wait()
            with serving(home, address, int(site.url.rpartition(":")[2])):
                client.create_tasks([TaskNew(title="After")])
                watched.until("#2 After")
                assert watched.close() == 130
                assert b"Traceback" not in watched.said


def test_programs_can_watch_too(web: str) -> None:
    with subprocess.Popen([*ASQ, "board", "--watch", "--json"], stdout=subprocess.PIPE) as watching, Client() as client:
        assert watching.stdout is not None
        before = Board.model_validate_json(watching.stdout.readline())
        client.create_tasks([TaskNew(title="New")])
        after = Board.model_validate_json(watching.stdout.readline())
        watching.kill()
    assert (before.last, after.last, [card.title for card in after.tasks]) == (3, 4, ["New"])
