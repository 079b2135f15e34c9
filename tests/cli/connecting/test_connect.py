"""`asq connect`: what is said, written and taken back, for every client and whatever its file holds."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from agentsquad import profile, tokens
from agentsquad.cli.connecting.bridge import bridge
from agentsquad.cli.connecting.clients import CLIENTS, Name
from agentsquad.client import Client
from tests.cli.conftest import Type
from tests.cli.connecting.conftest import ASQ, Desk, Refused, Say

ALL = pytest.mark.parametrize("name", Name, ids=lambda name: name.value)
JSON = pytest.mark.parametrize("name", [name for name in Name if name is not Name.CODEX], ids=lambda name: name.value)


def squad_id() -> str:
    with Client() as client:
        return str(client.squad().id)


def entry(name: Name, member: str = "ada") -> dict[str, Any]:
    """What a client is to have for a member."""
    transport = {"type": "stdio"} if name in {Name.CLAUDE_CODE, Name.VSCODE} else {}
    environment = {"SQUAD_HOME": os.environ["SQUAD_HOME"], "SQUAD_URL": os.environ["SQUAD_URL"]}
    arguments = ["mcp", "--squad", squad_id(), "--as", member]
    return {**transport, "command": ASQ, "args": arguments, "env": environment}


@ALL
def test_it_is_said_and_nothing_is_written(name: Name, say: Say, typed: Type, desk: Desk) -> None:
    said = say("connect", name.value, "--as", "ada", COLUMNS="60")
    assert desk.files() == {}
    assert f"Put into {desk.file(name)}:" in said
    first = typed("connect", name.value, "--as", "ada", "--json").json["blocks"][0]
    assert first["text"] in said
    desk.file(name).parent.mkdir(exist_ok=True)
    desk.file(name).write_text(first["text"], encoding="utf-8")
    assert desk.servers(name) == {"agentsquad": entry(name)}
    assert said.endswith('"Take your next task from agentsquad and work on it."')
    found = tokens.find(squad_id(), "ada")
    assert found is not None
    assert found.token not in said


@ALL
def test_it_is_written_once_and_taken_back_without_a_trace(name: Name, say: Say, desk: Desk) -> None:
    assert str(desk.file(name)) in say("connect", name.value, "--as", "ada", "--write")
    assert desk.servers(name) == {"agentsquad": entry(name)}
    written = desk.files()
    assert not any(b"sqm_" in content for content in written.values())
    say("connect", name.value, "--as", "ada", "--write")
    assert desk.files() == written
    title = CLIENTS[name].title
    assert say("connect", name.value, "--as", "ada", "--remove") == (
        f"{title} starts nothing for ada any more. The token is revoked."
    )
    assert (desk.files(), desk.folders()) == ({}, [])
    assert tokens.find(squad_id(), "ada") is None
    assert say("connect", name.value, "--as", "ada", "--remove") == f"{title} started nothing for ada."


OTHERS = {
    Name.CODEX: b'# mine\nmodel = "o5"\n\n[mcp_servers.other]\ncommand = "x"\n# the end',
    Name.VSCODE: b'{\r\n\t"inputs": [],\r\n\t"servers": {\r\n\t\t"other": {"command": "x"}\r\n\t}\r\n}\r\n',
}
PLAIN = '\ufeff{\n    "theme": "dé\\u00e9",\n    "mcpServers": {"other": {"command": "x"}}\n}'.encode()


@ALL
@pytest.mark.parametrize("content", [None, b"", b"{}\n"])
def test_all_else_in_a_file_stays_as_it_is(name: Name, content: bytes | None, say: Say, desk: Desk) -> None:
    before = OTHERS.get(name, PLAIN) if content is None else content if name is not Name.CODEX else b"\n"
    desk.file(name).parent.mkdir(exist_ok=True)
    desk.file(name).write_bytes(before)
    desk.file(name).chmod(0o640)
    others = {} if content is not None else {"other": {"command": "x"}}
    say("connect", name.value, "--as", "ada", "--write")
    say("connect", name.value, "--as", "tess", "--write")
    text = desk.file(name).read_bytes().decode("utf-8-sig")
    desk.file(name).write_bytes(text.encode())
    assert desk.servers(name) == {**others, "agentsquad": entry(name), "agentsquad-tess": entry(name, "tess")}
    desk.file(name).write_bytes((b"\xef\xbb\xbf" if before.startswith(b"\xef\xbb\xbf") else b"") + text.encode())
    for member in ("ada", "tess"):
        say("connect", name.value, "--as", member, "--remove")
    left = desk.file(name).read_bytes()
    assert left == before or not before.strip()
    assert left.strip() in {before.strip(), b"{}"}
    assert desk.file(name).stat().st_mode & 0o777 == 0o640


@JSON
def test_an_empty_list_of_servers_stays(name: Name, say: Say, desk: Desk) -> None:
    before = json.dumps({CLIENTS[name].path[0]: {}}).encode()
    desk.file(name).parent.mkdir(exist_ok=True)
    desk.file(name).write_bytes(before)
    say("connect", name.value, "--as", "ada", "--write")
    say("connect", name.value, "--as", "ada", "--remove")
    assert desk.file(name).read_bytes() == before


@ALL
def test_what_somebody_adds_to_the_entry_stays(name: Name, say: Say, desk: Desk) -> None:
    say("connect", name.value, "--as", "ada", "--write")
    text = desk.file(name).read_text()
    if name is Name.CODEX:
        text += '\n[mcp_servers.agentsquad.tools.claim_task]\napproval_mode = "approve"\n'
        text = text.replace("\nenv", "\nstartup_timeout_sec = 20\nenv").replace(ASQ, "/old/asq")
        added = {"startup_timeout_sec": 20, "tools": {"claim_task": {"approval_mode": "approve"}}}
    else:
        text = text.replace('"env": {', '"timeout": 20, "env": {"MINE": "1", "SQUAD_OLD": "2",').replace(
            ASQ, "/old/asq"
        )
        added = {"timeout": 20, "env": {"MINE": "1"} | entry(name)["env"]}
    desk.file(name).write_text(text, encoding="utf-8")
    say("connect", name.value, "--as", "ada", "--write")
    assert desk.servers(name) == {"agentsquad": entry(name) | added}
    say("connect", name.value, "--as", "ada", "--remove")
    assert (desk.files(), desk.folders()) == ({}, [])


@ALL
def test_a_server_of_that_name_that_is_another_s_stays(name: Name, say: Say, desk: Desk) -> None:
    desk.file(name).parent.mkdir(exist_ok=True)
    foreign = '[mcp_servers.agentsquad]\nurl = "x"\n' if name is Name.CODEX else json.dumps(
        {CLIENTS[name].path[0]: {"agentsquad": {"url": "x"}, "agentsquad-a-da": 1}}
    )  # fmt: skip
    desk.file(name).write_text(foreign, encoding="utf-8")
    say("connect", name.value, "--as", "a.da", "--write")
    (ours,) = [each for each, value in desk.servers(name).items() if value == entry(name, "a.da")]
    assert ours == ("agentsquad-a-da" if name is Name.CODEX else "agentsquad-a-da-2")
    say("connect", name.value, "--as", "a.da", "--remove")
    assert desk.file(name).read_text() == foreign


@ALL
@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"= 1", b'{"a": ' * 50_000, b"null"])
def test_a_broken_file_is_refused_and_left_alone(
    name: Name, content: bytes, say: Say, refused: Refused, desk: Desk
) -> None:
    content = b"[[" if name is Name.CODEX and content != b"\xff" else content
    desk.file(name).parent.mkdir(exist_ok=True)
    desk.file(name).write_bytes(content)
    for option in ("--write", "--remove"):
        sentence = refused(2, "connect", name.value, "--as", "ada", option)
        assert sentence.startswith(f"{desk.file(name)} ")
        assert sentence.endswith("it is left as it is.")
    assert desk.file(name).read_bytes() == content
    assert "Put into" in say("connect", name.value, "--as", "ada")


@JSON
def test_comments_are_not_lost(name: Name, say: Say, refused: Refused, desk: Desk) -> None:
    kind = CLIENTS[name].path[0]
    content = f'{{\n  // mine\n  "{kind}": {{"other": {{}},}}\n}}\n'
    desk.file(name).parent.mkdir(exist_ok=True)
    desk.file(name).write_text(content, encoding="utf-8")
    sentence = refused(2, "connect", name.value, "--as", "ada", "--write")
    assert "has comments, which would be lost, so it is left as it is; set " in sentence
    pasted = sentence.partition("by hand: ")[2]
    assert json.loads(pasted) == entry(name)
    assert desk.file(name).read_text() == content
    desk.file(name).write_text(content.replace('"other": {}', f'"agentsquad": {pasted}'), encoding="utf-8")
    say("connect", name.value, "--as", "ada", "--write")
    sentence = refused(2, "connect", name.value, "--as", "ada", "--remove")
    assert f"take out {kind}.agentsquad by hand: " in sentence


@pytest.mark.parametrize(
    "content", ["mcp_servers = { other = { command = 'x' } }\n", "mcp_servers.other.url = 'x'\n[a]\n"]
)
def test_toml_that_is_laid_out_otherwise_is_left_alone(content: str, say: Say, typed: Type, desk: Desk) -> None:
    desk.file(Name.CODEX).parent.mkdir()
    desk.file(Name.CODEX).write_text(content, encoding="utf-8")
    done = typed("connect", "codex", "--as", "ada", "--write")
    if done.code:
        assert "is laid out in a way of its own, so it is left as it is" in done.err
    else:
        say("connect", "codex", "--as", "ada", "--remove")
    assert desk.file(Name.CODEX).read_text() == content


@JSON
@pytest.mark.parametrize("kind", ["[]", "null", '"x"'])
def test_servers_that_are_no_object_are_refused(name: Name, kind: str, refused: Refused, desk: Desk) -> None:
    content = f'{{"{CLIENTS[name].path[0]}": {kind}}}'
    desk.file(name).parent.mkdir(exist_ok=True)
    desk.file(name).write_text(content, encoding="utf-8")
    sentence = refused(2, "connect", name.value, "--as", "ada", "--write")
    assert f"has {CLIENTS[name].path[0]} that is no object, so it is left as it is" in sentence
    assert desk.file(name).read_text() == content


@ALL
def test_a_link_stays_a_link(name: Name, say: Say, desk: Desk, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles"
    target.write_text("" if name is Name.CODEX else "{}", encoding="utf-8")
    desk.file(name).parent.mkdir(exist_ok=True)
    desk.file(name).symlink_to(target)
    say("connect", name.value, "--as", "ada", "--write")
    assert "agentsquad" in target.read_text()
    say("connect", name.value, "--as", "ada", "--remove")
    assert desk.file(name).is_symlink()
    assert target.read_text() in {"", "{}"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which even root writes nothing")
@pytest.mark.parametrize("name", [Name.CLAUDE_CODE, Name.CURSOR, Name.GEMINI, Name.VSCODE])
def test_a_folder_that_takes_nothing_is_one_sentence(
    name: Name, refused: Refused, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")
    sentence = refused(2, "connect", name.value, "--as", "ada", "--write")
    assert "can't be written (" in sentence
    assert sentence.endswith("it is left as it is.")


def test_a_file_in_place_of_the_folder_is_one_sentence(refused: Refused, desk: Desk) -> None:
    (desk.folder / ".cursor").touch()
    sentence = refused(2, "connect", "cursor", "--as", "ada", "--write")
    assert sentence == f"{desk.file(Name.CURSOR)} can't be read (Not a directory); it is left as it is."


def test_codex_may_live_elsewhere(say: Say, desk: Desk, tmp_path: Path) -> None:
    say("connect", "codex", "--as", "ada", "--write", CODEX_HOME=str(tmp_path / "codex"))
    assert "[mcp_servers.agentsquad]" in (tmp_path / "codex" / "config.toml").read_text()


def test_the_program_is_the_one_that_runs(
    say: Say, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "b in" / "asq"
    elsewhere.parent.mkdir()
    elsewhere.write_text(f'#!/bin/sh\nexec {shlex.quote(ASQ)} "$@"\n', encoding="utf-8")
    elsewhere.chmod(0o755)
    say("connect", "cursor", "--as", "ada", "--write", PATH=f"{elsewhere.parent}:/bin")
    assert desk.servers(Name.CURSOR)["agentsquad"]["command"] == str(elsewhere)


def test_a_path_that_clients_would_change_is_refused(refused: Refused, desk: Desk, tmp_path: Path) -> None:
    sentence = refused(2, "connect", "cursor", "--as", "ada", "--write", SQUAD_HOME=str(tmp_path / "$HOME"))
    assert sentence.endswith("can't stand in a client's file; use a path of plain characters.")
    assert desk.files() == {}


def test_what_is_as_by_default_is_not_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUAD_HOME", str(desk.user / ".agentsquad"))
    assert bridge("0193", "ada", profile.URL).environment == {}
    assert bridge("0193", "ada", "http://b").environment == {"SQUAD_URL": "http://b"}
    monkeypatch.delenv("SQUAD_HOME")
    assert bridge("0193", "ada", profile.URL).environment == {}
