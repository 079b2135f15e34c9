"""How commands say things: to terminals, files, pipes and programs, whatever is typed and whatever others wrote."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.core import TyperGroup

from agentsquad import cli
from agentsquad.cli import words
from tests.cli.conftest import ASQ, Type

Say = Callable[..., str]
HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202e\r[bold]x[/bold] {0} %s"
HARMLESS = "\ufffd[2J\ufffd]0;owned\ufffd \ufffd31m \ufffd"


def test_what_others_wrote_cannot_command_the_terminal(say: Say, typed: Type) -> None:
    say("task", "create", "-d", HOSTILE, "--input", HOSTILE, "--", HOSTILE)
    say("task", "claim", "--as", "ada")
    say("send", HOSTILE, "--task", "1", "--as", "ada")
    say("send", HOSTILE, "--to", "ada")
    say("task", "fail", "1", HOSTILE, "--as", "ada")
    say("task", "create", "x")
    say("task", "claim", "2", "--as", "ada")
    say("ask", HOSTILE, "-d", HOSTILE, "--task", "2", "--as", "ada")
    for command in (
        "task list", "task show 1", "task show 2", "board", "why 1", "why 2", "feed", "log", "inbox --all",
        "inbox --all --as ada",
    ):  # fmt: skip
        shown = say(*command.split(), COLUMNS="300")
        assert not words.CONTROLS.search(shown), command
    assert HARMLESS in say("task", "show", "1", COLUMNS="300")
    assert "[bold]x[/bold]" in say("task", "show", "1", COLUMNS="300")
    assert typed("task", "show", "1", "--json").json["task"]["description"] == HOSTILE


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, *path, name)
        elif name not in {"work", "login", "logout", "use"}:  # they don't end, or change what the others come with
            yield (*path, name)


COMMANDS = sorted(commands(typer.main.get_command(cli.app)))
ODD = st.one_of(
    st.sampled_from([
        "", " ", "-", "--", "0", "-1", "1", "99", "2147483648", "9" * 30, "1.5", "x" * 300, "..", "a/b", "@", "@/",
        "@/proc", "{", "[1", "null", "{}", "[[]]", "\u2028", "\x1b[2J", "\udcff", "é\u0301", "💥", "ada", "me", "owner",
        "--json", "--as", "--squad", "--all", "--now", "--help", "--nonsense", "-s", "--since", "--kind", "--task",
    ]),
    st.text(st.characters(exclude_characters="\0"), max_size=20),
)  # fmt: skip


@given(command=st.sampled_from(COMMANDS), odd=st.lists(ODD, max_size=4), stdin=st.binary(max_size=50))
@settings(
    max_examples=150, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_whatever_is_typed_is_no_traceback(
    web: str, typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...], odd: list[str], stdin: bytes,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # where `squad export` may write
    if {"--follow", "-f", "--watch", "-w", "--wait"} & {word.partition("=")[0] for word in odd}:
        return  # they don't end
    done = typed(*command, *odd, stdin=stdin)
    assert done.code in {0, 2, 3, 4, 5}, done
    assert "Traceback" not in done.err
    assert bool(done.err) == bool(done.code) or done.code == 3


def test_an_answer_for_a_program_is_json_for_every_command(say: Say, typed: Type) -> None:
    say("task", "create", "x")
    for command in ("whoami", "board", "inbox", "task list", "member list", "squad list", "template list", "why 1"):
        assert typed(*command.split(), "--json").json is not None


def piped(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*ASQ, *arguments], env=os.environ | environment, capture_output=True, timeout=60, check=False
    )


def test_a_file_gets_no_colours_and_wide_tables(say: Say) -> None:
    say("task", "create", "t" * 130)
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "TERM"}}
    shown = subprocess.run([*ASQ, "task", "list"], env=environment, capture_output=True, timeout=60, check=True).stdout
    assert b"\x1b" not in shown
    assert b"t" * 130 in shown


def at_a_terminal(*arguments: str, **environment: str) -> bytes:
    """What a terminal gets."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*ASQ, *arguments], {**os.environ, "TERM": "xterm-256color", **environment})
    said = b""
    with contextlib.suppress(OSError):  # the end
        while part := os.read(terminal, 65536):
            said += part
    os.waitpid(pid, 0)
    os.close(terminal)
    return said


def test_a_terminal_gets_colours_unless_it_wants_none(say: Say) -> None:
    say("task", "create", "x")
    assert b"\x1b[33mtodo" in at_a_terminal("task", "list")
    assert b"\x1b[33m" not in at_a_terminal("task", "list", NO_COLOR="1")


def test_nothing_is_lost_on_a_narrow_terminal(say: Say) -> None:
    say("task", "create", "Cart is lost on refresh", "--role", "backend_developer")
    for command in ("task list", "task show 1", "member list", "board"):
        shown = say(*command.split(), COLUMNS="40")
        lines = shown.splitlines()
        assert command == "task show 1" or all(len(line) <= 40 for line in lines), shown
    assert say("board", COLUMNS="40").splitlines()[1:] == ["todo 1", "#1 Cart is lost on refresh"]


def test_a_secret_is_one_line_on_any_terminal(say: Say) -> None:
    assert re.fullmatch(r"sqm_\S{40,}", say("member", "token", "ada", COLUMNS="20").splitlines()[0])


def test_a_reader_that_goes_away_is_no_error(say: Say) -> None:
    for number in range(0, 1000, 250):
        plan = "\n".join(f"- title: {'long ' * 20}{number + each}" for each in range(250))
        say("task", "create", "-f", "-", stdin=plan.encode())
    for command in ("log", "task list --limit 1000"):
        shell = f"{' '.join(ASQ)} {command} | head -1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words_typed", "offered"),
    [
        ("", {"task", "board", "work", "serve", "squad"}),
        ("task ", {"create", "show", "handoff"}),
        ("task cr", {"create"}),
        ("member ", {"add", "token"}),
        ("task create --pri", {"--priority"}),
        ("admin ", {"migrate"}),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_verbs_and_what_is_below_them(shell: str, words_typed: str, offered: set[str]) -> None:
    line = f"asq {words_typed}"
    environment = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
    }[shell]
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['asq']; from agentsquad.cli import main; main()"],
        env=os.environ | environment | {"_ASQ_COMPLETE": f"complete_{shell}"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = set(re.findall(r"[\w-]+", done.stdout))
    assert offered <= said, done
    assert done.stderr == ""


def test_help_is_there_for_every_command_and_loads_no_server(typed: Type) -> None:
    for command in COMMANDS:
        done = typed(*command, "--help")
        assert (done.code, done.err) == (0, "")
        assert " ".join(command) in done.out
    script = "import sys, agentsquad.cli; assert not {'backend', 'sqlalchemy', 'fastapi'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
