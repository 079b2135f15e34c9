"""`asq task …` and what a holder types."""

import os
from collections.abc import Callable

import pytest

from agentsquad.schemas.tasks import Attempt, Claim, Task
from tests.cli.conftest import Type

Say = Callable[..., str]
Refused = Callable[..., str]


def test_a_task_from_its_making_to_its_end(say: Say) -> None:
    assert say("task", "create", "Cart is lost", "--role", "tester", "--review", "") == "#1 todo"
    assert say("task", "claim", "--as", "ada") == "ada holds #1 (attempt 1); lease 60 s: Cart is lost"
    assert say("task", "heartbeat", "1", "--as", "ada").startswith("lease ")
    assert say("task", "complete", "1", "mended", "--as", "ada") == "#1 in review"
    assert say("task", "claim", "1") == "owner holds review #1 (attempt 2): Cart is lost"
    assert say("task", "reject", "1", "Not on my machine.") == "#1 todo"
    assert say("task", "claim", "1", "--as", "ada") == "ada holds #1 (attempt 3); lease 60 s: Cart is lost"
    assert say("task", "complete", "1", '{"fixed": 7}', "--as", "ada") == "#1 in review"
    say("task", "claim", "1")
    assert say("task", "accept", "1", "Good.") == "#1 done"
    shown = say("task", "show", "1")
    assert shown.startswith("#1 Cart is lost\ndone  #1 is done: accepted by owner.")
    told = ["by ada: completed", "by owner: rejected", "Not on my machine.", "by ada: completed", "Good."]
    places = [shown.index(text) for text in told[:3]]
    assert places == sorted(places)
    assert all(text in shown for text in told)
    assert shown.endswith('result\n{\n  "fixed": 7\n}')


def test_what_a_holder_can_do_besides(say: Say) -> None:
    for title in ("a", "b", "c", "d"):
        say("task", "create", title)
    for number in range(1, 5):
        say("task", "claim", str(number), "--as", "ada")
    assert say("task", "fail", "1", "no access", "--retry", "--as", "ada") == "#1 todo"
    assert say("task", "fail", "2", "no access", "--as", "ada") == "#2 failed"
    assert say("task", "release", "3", "--as", "ada") == "#3 todo"
    assert say("task", "handoff", "4", "for you", "--to", "owner", "--as", "ada") == "#4 todo"
    assert say("task", "claim", "1", "--as", "ada")
    assert say("task", "wait", "1", "--as", "ada") == "#1 todo"


def test_steering(say: Say) -> None:
    say("task", "create", "a")
    say("task", "create", "b", "--after", "1")
    assert say("task", "edit", "1", "--title", "Cart", "-p", "0") == "#1 todo"
    assert say("task", "assign", "1", "ada") == "#1 todo"
    assert say("task", "undepend", "2", "1") == "#2 todo"
    assert say("task", "depend", "2", "1") == "#2 blocked (dependencies)"
    assert say("task", "block", "1", "no money") == "#1 blocked (stalled)"
    assert say("task", "resume", "1") == "#1 todo"
    assert say("task", "cancel", "1", "too early", "--cascade") == "#1 cancelled"
    assert say("task", "retry", "1") == "#1 todo"
    assert say("task", "list") == (
        "    status     for  holder  title\n"
        "#1  todo       ada          Cart\n"
        "#2  cancelled               b"
    )  # fmt: skip
    assert say("task", "list", "--status", "failed") == "None; make one with `asq task create TITLE`."


def test_programs_get_the_schemas(say: Say, typed: Type) -> None:
    assert [Task(**task).number for task in typed("task", "create", "a", "--json").json] == [1]
    assert Claim(**typed("task", "claim", "--as", "ada", "--json").json).claim == "1/1"
    assert Task(**typed("task", "complete", "1", "[1]", "--as", "ada", "--json").json).result == [1]
    shown = typed("task", "show", "1", "--json").json
    assert Attempt(**shown["attempts"][0]).outcome == "completed"
    assert [Task(**task).status for task in typed("task", "list", "--json").json] == ["done"]
    nothing = typed("task", "claim", "--as", "ada", "--json")
    assert (nothing.code, nothing.out) == (3, "null\n")


def test_refusals_have_a_sentence_and_a_code(refused: Refused, typed: Type) -> None:
    assert typed("task", "create", "a").code == 0
    assert refused(3, "task", "show", "99") == "Task not found"
    assert refused(2, "task", "create") == "Give a title, or a plan with --file."
    assert refused(2, "task", "create", "") == "title can't be used: String should have at least 1 character."
    assert refused(2, "task", "create", "x" * 201).startswith("title can't be used: ")
    assert refused(2, "task", "create", "a", "--after", "99") == "There is no task #99."
    assert refused(2, "task", "edit", "1") == "Say what to change; --help lists it."
    assert refused(5, "task", "complete", "1", "x") == "owner doesn't hold #1; claim it with `asq task claim 1`."
    assert refused(5, "task", "accept", "1", SQUAD_CLAIM="1/1") == "#1 is todo."
    assert refused(2, "task", "release") == "Which task? Give its number."
    assert refused(5, "task", "retry", "1").startswith("#1 is todo; ")
    token = typed("member", "token", "ada", "--json").json["secret"]
    assert refused(4, "task", "block", "1", "x", SQUAD_TOKEN=token) == "Only the squad's owner may do this."
    assert refused(4, "task", "list", SQUAD_API_KEY="sqd_wrong") == "This key is unknown or revoked; make a new one."
    away = refused(6, "task", "list", SQUAD_URL="http://127.0.0.1:9")
    assert away == "No answer from http://127.0.0.1:9 (All connection attempts failed); start it with `asq serve`."


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "1.5", "99999999999999999999"])
def test_what_is_no_number_is_wrong_usage(web: str, typed: Type, number: str) -> None:
    done = typed("task", "show", "--", number)
    assert done.code in (2, 3)
    assert "Traceback" not in done.err


def test_texts_come_from_files_and_standard_input(say: Say, typed: Type, tmp_path: os.PathLike[str]) -> None:
    file = os.path.join(tmp_path, "text")  # noqa: PTH118
    with open(file, "w", encoding="utf-8") as handle:  # noqa: PTH123
        handle.write("Zeile \u2028 zwei")
    say("task", "create", "a", "-d", f"@{file}", "--input", "-", stdin=b'{"page": 7}')
    task = typed("task", "show", "1", "--json").json["task"]
    assert (task["description"], task["input"]) == ("Zeile \u2028 zwei", {"page": 7})


def test_nothing_typed_can_be_read_is_said(refused: Refused) -> None:
    assert "No such file" in refused(2, "task", "create", "a", "-d", "@/nonesuch")
    assert "can't be read" in refused(2, "task", "create", "a", "-d", "@~nobody-here/x")
    assert refused(2, "task", "create", "a", "-d", "-", stdin=b"\xff") == "standard input is no UTF-8; give it text."
    nul = refused(2, "task", "create", "a", "-d", "-", stdin=b"a\0")
    assert nul == "description can't be used: holds a NUL character; leave it out."
    huge = refused(2, "task", "create", "a", "-d", "-", stdin=b"x" * 300_000)
    assert huge.startswith("description can't be used: ")


def test_a_claim_reserves_paths_for_as_long_as_it_lasts(say: Say, typed: Type) -> None:
    for title in ("Cart", "Shop"):
        say("task", "create", title)
    claimed = say("task", "claim", "1", "--as", "ada", "--path", "src/**", "--path", "./docs/", "--lease", "900")
    assert claimed == "ada holds #1 (attempt 1); lease 900 s; reserved: src/**, docs/: Cart"
    refused = typed("task", "claim", "2", "--path", "src/a.py")
    assert (refused.code, refused.out) == (5, "")
    assert refused.err.startswith("src/a.py overlaps with src/**, which ada reserves for #1 (attempt 1) until ")
    assert "; reserved: src/**, docs/" in say("task", "show", "1")
    assert say("why", "1").endswith(" UTC; reserved: src/** and 1 more.")
    assert "#1 ada 15 min Cart; reserved: src/**, docs/" in say("board", COLUMNS="300")
    assert "ada claimed #1 (attempt 1); reserved: src/**, docs/." in say("log")
    say("task", "release", "1", "--as", "ada")
    assert "reserved" not in say("task", "show", "1")
    assert "reserved" not in say("board")
    assert say("task", "claim", "2", "--path", "src/a.py") == "owner holds #2 (attempt 1); reserved: src/a.py: Shop"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--path", "/etc"), "paths.0 can't be used: begins at the root of the checkout, without a leading /."),
        (("--path", ""), "paths.0 can't be used: String should have at least 1 character."),
        (("--lease", "5"), "lease_seconds can't be used: Input should be greater than or equal to 30."),
    ],
)
def test_what_cannot_be_reserved_is_one_sentence(
    say: Say, refused: Refused, given: tuple[str, ...], sentence: str
) -> None:
    say("task", "create", "Cart")
    assert refused(2, "task", "claim", *given) == sentence
