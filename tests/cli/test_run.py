"""`asq run` as a person types it: from words to a result, or to the reason why there is none."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsquad.client import Client
from backend.runner import choosing
from backend.runner.lines import MARK
from tests.cli.conftest import Site, Start, serving, starting, type_apart
from tests.conftest import new_database

WORDS = "Let the cart survive a reload of the page"
ASKS = {"calls": [{"name": "ask_human", "arguments": {"question": "Red or blue?", "details": "For the door."}}]}
FAILS = {"calls": [{"name": "fail_task", "arguments": {"reason": "There is no cart, and " * 10 + "no shop."}}]}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def site(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server without any provider's key, whose members may call models on this machine."""
    settings = dict.fromkeys(choosing.USUAL, "") | {"SQUAD_PRIVATE_NETWORKS": "127.0.0.1", "SQUAD_RUNNER": "on"}
    home = tmp_path_factory.mktemp("site")
    with new_database(server_url, template) as url, serving(home, url, settings=settings) as (site, _):
        yield site


@pytest.fixture
def run(site: Site, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Type `asq run`, on a screen of 80 columns, and wait for it."""
    for name, value in {"SQUAD_URL": site.url, "SQUAD_API_KEY": site.key, "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    return lambda *words, **environment: type_apart("run", *words, **environment)


@pytest.fixture
def start(run: Run) -> Iterator[Start]:
    """Start a command, which the end of the test ends."""
    with starting() as start:
        yield start


@pytest.fixture
def model() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The options of a model on this machine, and how to say what it answers."""
    command = [sys.executable, "-m", "tests.runner.standin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        yield f"{url}/v1", lambda *answers: httpx.post(f"{url}/script", json=answers).raise_for_status()
        process.kill()


def with_(model: str) -> tuple[str, ...]:
    return "--model", "small", "--base-url", model


def names(said: str) -> str:
    """The squad's name, as it was said."""
    found = re.match(r"Squad ([\w.-]+): ", said)
    assert found, said
    return found[1]


def test_words_become_a_result_without_any_key(run: Run) -> None:
    done = run("software_dev", WORDS)
    assert (done.returncode, done.stderr) == (0, "")
    head, events, result = done.stdout.split("\n\n")
    team = "lead, backend_developer, frontend_developer, reviewer, technical_writer, tester"
    assert head.splitlines() == [
        f"Squad let-the-cart-survive-a-reload-of-the: {team}",
        "Model: the server's own",
        "Ctrl-C ends the watching, not the work. This does:",
        "asq squad pause --now --squad let-the-cart-survive-a-reload-of-the",
    ]
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in events.splitlines()]
    assert lines[:3] == [
        f"owner made #1: {WORDS}",
        "lead claimed #1 (attempt 1).",
        "lead asks offline:rehearsal about #1.",
    ]
    assert lines[-1] == "lead completed #1."
    assert {"tester claimed #6 (attempt 1).", "lead waits for the parts of #1.", "tester completed #6."} < set(lines)
    assert all(len(line) <= 80 for line in events.splitlines() if " made #" not in line)
    assert result.startswith(f"{MARK} “{WORDS}” in 5 parts:\n- #2 Backend developer: ")
    assert len(result.strip().splitlines()) == 6


def test_programs_get_a_line_of_json_for_each_change_and_the_task_last(run: Run) -> None:
    done = run("research", "Compare tea and coffee.", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first, *events, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["number"], first["status"], first["title"]) == (1, "todo", "Compare tea and coffee.")
    assert [event["position"] for event in events] == sorted(event["position"] for event in events)
    assert {"task.created", "task.claimed", "step.started", "task.completed"} <= {event["kind"] for event in events}
    assert last["status"] == "done"
    assert last["result"].startswith(MARK)


def test_who_does_not_wait_is_told_where_to_look(run: Run, site: Site) -> None:
    done = run("writing", "An ode", "--detach", "--name", "ode")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2:] == ["#1 is theirs. What becomes of it:", "asq task show 1 --squad ode"]
    with Client(site.url, site.key, squad="ode") as client:
        assert eventually(lambda: client.task(1).status == "done")


def test_a_name_that_is_taken_is_numbered_unless_it_was_given(run: Run) -> None:
    assert names(run("writing", "Twice", "-d").stdout) == "twice"
    assert names(run("writing", "Twice!", "-d").stdout) == "twice-2"
    again = run("writing", "Twice", "--name", "twice")
    assert (again.returncode, again.stdout) == (5, "")
    assert again.stderr == "You have a squad twice already.\n"
    assert names(run("writing", "¿¡…!?", "-d").stdout) == "writing"


def test_long_words_come_whole_and_from_a_file(run: Run, site: Site, tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_text("Ein Käfer 🐞 krabbelt\n" + "und krabbelt " * 2_000, encoding="utf-8")
    squad = names(run("writing", f"@{file}", "-d").stdout)
    assert squad == "ein-käfer-krabbelt-und-krabbelt-und"
    with Client(site.url, site.key, squad=squad) as client:
        task = client.task(1)
    assert task.description == file.read_text("utf-8").strip()
    assert task.title.startswith("Ein Käfer 🐞 krabbelt und krabbelt")
    assert len(task.title) == 200


@pytest.mark.parametrize(
    ("code", "sentence", "words", "environment"),
    [
        (2, "WORDS can't be empty; say what is to be done.", ("writing", " \n "), {}),
        (2, "There is no template poetry; there are research, software_dev, writing.", ("poetry", "An ode"), {}),
        (6, "No answer from http://127.0.0.1:9 (", ("writing", "x"), {"SQUAD_URL": "http://127.0.0.1:9"}),
        (2, "name can't be used: ", ("writing", "x", "--name", "two words"), {}),
        (2, "base_url can't be used: ", ("writing", "x", "--base-url", "http://me:secret@localhost"), {}),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_makes_nothing(
    run: Run, site: Site, code: int, sentence: str, words: tuple[str, ...], environment: dict[str, str]
) -> None:
    with Client(site.url, site.key) as client:
        before = len(client.squads())
        done = run(*words, **environment)
        assert len(client.squads()) == before
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith(sentence)
    assert "secret" not in done.stderr


def test_a_lead_that_fails_says_why(run: Run, model: tuple[str, Callable[..., Any]]) -> None:
    url, answers = model
    answers(FAILS)
    done = run("writing", WORDS, *with_(url))
    assert (done.returncode, done.stderr) == (1, "")
    *_, before, last = done.stdout.splitlines()
    assert before.endswith("  lead asks small about #1.")
    assert last == "#1 failed: " + "There is no cart, and " * 10 + "no shop."


def test_a_model_that_wants_a_key_is_told_whole_and_nobody_is_left_waiting(
    run: Run, model: tuple[str, Callable[..., Any]]
) -> None:
    url, answers = model
    answers({"status": 401, "message": "who are you?"})
    done = run("writing", WORDS, *with_(url))
    assert (done.returncode, done.stderr) == (1, "")
    *_, told, last = done.stdout.splitlines()
    assert "lead is paused, and #1 is given back: small at 127.0.0.1:" in told
    assert told.endswith(" in SQUAD_KEYS. Then resume lead.")
    assert last == "#1 waits for a lead. lead is paused."


def test_a_budget_that_is_too_small_is_told_whole(run: Run) -> None:
    done = run("writing", WORDS, "--tokens", "100")
    assert (done.returncode, done.stderr) == (1, "")
    assert "the squad's budget of 100 tokens has no room for the next call of offline:rehearsal" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("#1 is blocked: the squad's budget of 100 tokens has no room")
    assert done.stdout.splitlines()[-1].endswith(" or resume the task, which lets it go on past it.")


def test_a_question_is_answered_by_what_it_says_to_type(start: Start, model: tuple[str, Callable[..., Any]]) -> None:
    url, answers = model
    answers(ASKS, {"text": "It is red."})
    process = start("run", "writing", "Paint the door", *with_(url))
    said = until(process, "asq answer ")
    assert said[-3].endswith("  lead asks owner: Red or blue?")
    assert said[-2] == "For the door."
    _, *command = said[-1].replace("TEXT", "red").split()
    assert type_apart(*command).returncode == 0
    assert process.stdout
    assert process.stdout.read().endswith("\n\nIt is red.\n")
    assert process.wait(30) == 0


def test_ctrl_c_ends_the_watching_and_not_the_work(
    start: Start, site: Site, model: tuple[str, Callable[..., Any]]
) -> None:
    url, answers = model
    answers({"hang": "silent"})
    process = start("run", "writing", "Wait for me", *with_(url))
    until(process, "lead asks small")
    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert process.stdout.read() == ""
    assert process.wait(30) == 128 + signal.SIGINT
    with Client(site.url, site.key, squad="wait-for-me") as client:
        assert client.task(1).status == "in_progress"
        command = ("squad", "pause", "--now", "--squad", "wait-for-me")
        assert type_apart(*command).returncode == 0
        assert eventually(lambda: client.task(1).status == "todo")


def until(process: "subprocess.Popen[str]", wanted: str) -> list[str]:
    """The lines that it says, up to one that holds this."""
    said: list[str] = []
    assert process.stdout
    with contextlib.suppress(StopIteration):
        while not said or wanted not in said[-1]:
            said.append(next(process.stdout).rstrip("\n"))
        return said
    raise AssertionError(said)


def eventually(holds: Callable[[], Any]) -> bool:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)
    return True
