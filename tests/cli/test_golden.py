"""The golden session: a person's first hour with a squad, typed as it is, with a script in the place of an agent."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Asq

# An agent in its smallest form: it asks when it doesn't know, and goes on when its prompt holds the answer.
AGENT = """
prompt=$(cat)
case "$prompt" in
*"Keep the old cookie name?"*) echo "The cookie lives on."; exit 0;;
*) asq send "I look at the cookie." && asq ask "Keep the old cookie name?";;
esac
"""


def session(asq: Asq) -> Callable[..., str]:
    """Type a command that has to work. Answers what it says."""

    def typed(*arguments: str) -> str:
        done = asq(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout.rstrip()

    return typed


def wait_for(say: Callable[..., str], wanted: str, *arguments: str) -> str:
    """Type it until it says that."""
    ends = time.monotonic() + 30
    while not re.search(wanted, said := say(*arguments)):
        assert time.monotonic() < ends, said
        time.sleep(0.1)
    return said


def test_the_golden_session(
    server: str, asq: Asq, start: Callable[..., "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    say = session(asq)
    assert re.match(
        r"webshop: 7 members; owner@localhost owns it as `owner`",
        say("squad", "create", "webshop", "--template", "software_dev"),
    )
    assert say("use", "webshop") == "webshop: 7 members; owner@localhost owns it as `owner`"
    assert (
        say("task", "create", "Cart is lost on refresh", "--role", "backend_developer", "--review", "tester")
        == "#1 todo"
    )
    ada = start("work", "--as", "ada", "--role", "backend_developer", "--", "sh", "-c", AGENT)
    assert ada.stdout is not None
    assert (
        ada.stdout.readline()
        == "ada holds #1 (attempt 1); lease 60 s, renewed while the command runs: Cart is lost on refresh\n"
    )
    wait_for(say, "asks", "inbox", "--peek")
    questions = say("inbox")
    assert '#2 ada asks: "Keep the old cookie name?"' in questions
    assert "ada about #1: I look at the cookie." in questions
    assert say("why", "1") == "#1 waits for its children #2 (todo)."
    assert say("answer", "2", "yes") == "#2 done"
    why = wait_for(say, "in review", "why", "1")
    assert re.match(r"#1 is in review: waits for a tester\b", why)
    tess = start("work", "--as", "tess", "--role", "tester", "--once", "--", "echo", "REJECT It breaks on Safari.")
    assert tess.wait(30) == 0
    wait_for(say, "attempt 4 by ada: completed", "task", "show", "1")
    tess = start("work", "--as", "tess", "--once", "--", "echo", "ACCEPT Well done.")
    assert tess.wait(30) == 0
    shown = say("task", "show", "1")
    outcomes = re.findall(r"(attempt|review) (\d) by (\w+): (\w+)", shown)
    assert outcomes == [
        ("attempt", "1", "ada", "waiting"),
        ("attempt", "2", "ada", "completed"),
        ("review", "3", "tess", "rejected"),
        ("attempt", "4", "ada", "completed"),
        ("review", "5", "tess", "accepted"),
    ]
    assert "tess: It breaks on Safari." in shown
    assert shown.endswith("result\nThe cookie lives on.")
    ada.terminate()
    assert ada.wait(20) == 0
    assert say("task", "create", "Endless", "--assignee", "ada") == "#3 todo"
    endless = start("work", "--as", "ada", "--", "sleep", "600")
    wait_for(say, "attempt 1 by ada: running", "task", "show", "3")
    assert say("pause", "ada", "--now") == "ada paused; #3 attempt 1 ended"
    assert endless.stdout is not None
    assert any("#3: attempt 1 ended: paused" in line for line in iter(endless.stdout.readline, ""))
    assert "todo" in say("task", "show", "3")
    assert say("task", "cancel", "3") == "#3 cancelled"
    assert say("resume", "ada") == "ada goes on"
    assert "ended 3" in say("board")
    assert re.search(r"tess accepted #1", say("feed"))
    assert say("stop") == "Stopped."
