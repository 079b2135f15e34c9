"""`asq connect`: who joins, and with which token."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentsquad import tokens
from agentsquad.cli.connecting import notes
from agentsquad.client import Client, Unauthenticated
from agentsquad.schemas.members import MemberNew
from tests.cli.conftest import ASQ, Type
from tests.cli.connecting.conftest import Desk, Refused, Say


def token(member: str = "ada") -> str:
    with Client() as client:
        found = tokens.find(str(client.squad().id), member)
    assert found is not None
    return found.token


def await_death(secret: str) -> None:
    """A revoked token is dead within a second."""
    ends = time.monotonic() + 10
    with Client(key=secret) as client, contextlib.suppress(Unauthenticated):
        while time.monotonic() < ends:
            client.me()
            time.sleep(0.05)
        raise AssertionError("it lives on")


def test_a_member_joins_with_its_role_or_is_the_one_that_is_there(say: Say, web: str, desk: Desk) -> None:
    said = say("connect", "cursor", "--as", "tess", "--role", "reviewer")
    assert said.splitlines()[0] == f"tess joined {web} as reviewer."
    assert "joined" not in say("connect", "cursor", "--as", "tess", "--role", "reviewer")
    with Client() as client:
        assert [(each.name, each.kind, each.role) for each in client.members() if each.name == "tess"] == [
            ("tess", "external", "reviewer")
        ]
    with Client(key=token("tess")) as client:
        assert client.me().name == "tess"


def test_a_token_that_works_is_kept_and_a_dead_one_replaced(say: Say, desk: Desk) -> None:
    say("connect", "cursor", "--as", "ada")
    first = token()
    say("connect", "codex", "--as", "ada")
    assert token() == first
    with Client() as client:
        client.revoke_token("ada", str(client.tokens("ada")[0].id))
    await_death(first)
    say("connect", "codex", "--as", "ada")
    assert token() != first
    assert len(say("member", "tokens", "ada").splitlines()) == 3


def test_a_token_that_works_needs_no_owner(say: Say, refused: Refused, desk: Desk) -> None:
    say("connect", "cursor", "--as", "ada")
    assert "Put into" in say("connect", "cursor", "--as", "ada", SQUAD_API_KEY="sqd_wrong")
    assert refused(4, "connect", "cursor", "--as", "tess", SQUAD_API_KEY="sqd_wrong").endswith(".")
    assert refused(4, "connect", "cursor", "--as", "tess", SQUAD_TOKEN=token()).endswith(".")


def test_a_squad_and_a_member_that_got_other_names_are_not_mixed_up(say: Say, web: str, desk: Desk) -> None:
    say("connect", "cursor", "--as", "ada")
    first = token()
    with Client() as client:
        squad = str(client.squad().id)
    say("squad", "edit", "--name", f"{web}-new", SQUAD_ID=squad)
    say("connect", "cursor", "--as", "ada", SQUAD_ID=f"{web}-new")
    assert len(say("member", "tokens", "ada", SQUAD_ID=squad).splitlines()) == 2
    say("member", "edit", "ada", "--name", "lovelace", SQUAD_ID=squad)
    assert "ada joined" in say("connect", "cursor", "--as", "ada", SQUAD_ID=squad)
    found = tokens.find(squad, "ada")
    assert found is not None
    assert found.token != first


def test_refusals(say: Say, refused: Refused, desk: Desk) -> None:
    assert refused(2, "connect", "cursor") == "Who is it? Say --as NAME."
    assert refused(2, "connect", "cursor", "--as", "ada", "--write", "--remove") == "Say --write or --remove, not both."
    assert refused(2, "connect", "cursor", "--as", "ada", "--role", "lead") == (
        "ada is there already as tester; leave out --role, or change it with `asq member edit ada --role lead`."
    )
    say("connect", "cursor", "--as", "ada")
    assert refused(2, "connect", "cursor", "--as", "ada", "--role", "").startswith("ada is there already as tester; ")
    assert refused(5, "connect", "cursor", "--as", "owner") == "owner is a person; choose another name."
    with Client() as client:
        client.add_member(MemberNew(name="hal", kind="hosted"))
    assert refused(5, "connect", "cursor", "--as", "hal") == "hal is run by the server; choose another name."
    say("member", "retire", "ada")
    assert refused(5, "connect", "cursor", "--as", "ada") == "ada is retired; choose another name."
    assert refused(3, "connect", "cursor", "--as", "x", "--squad", "nowhere") == "Squad not found"
    assert refused(2, "connect", "cursor", "--as", "no name").startswith("name can't be used: ")
    assert refused(2, "connect", "cursor", "--as", "x", "--role", "no role").startswith("role can't be used: ")
    assert refused(6, "connect", "cursor", "--as", "x", SQUAD_URL="http://127.0.0.1:9").startswith("No answer from ")
    assert desk.files() == {}


def test_a_client_that_is_not_known_is_a_usage_error(typed: Type, web: str) -> None:
    assert typed("connect", "emacs", "--as", "ada").code == 2


def test_the_token_lives_as_long_as_a_client_uses_it(say: Say, desk: Desk) -> None:
    for client in ("cursor", "vscode"):
        say("connect", client, "--as", "ada", "--write")
    secret = token()
    assert say("connect", "cursor", "--as", "ada", "--remove") == (
        f"Cursor starts nothing for ada any more. The token stays for vscode in {desk.folder}."
    )
    assert token() == secret
    assert say("connect", "vscode", "--as", "ada", "--remove").endswith(" The token is revoked.")
    assert "revoked" in say("member", "tokens", "ada")
    assert notes.read() == notes.Notes()


def test_a_set_up_that_was_pasted_is_not_counted_and_works_again_once_it_is_connected_anew(
    say: Say, web: str, desk: Desk
) -> None:
    pasted = say("connect", "vscode", "--as", "ada")
    say("connect", "cursor", "--as", "ada", "--write")
    secret = token()
    assert say("connect", "cursor", "--as", "ada", "--remove").endswith(" The token is revoked.")
    await_death(secret)
    assert say("connect", "vscode", "--as", "ada") == pasted
    with Client(key=token()) as client:
        assert client.me().name == "ada"


def test_a_token_that_cannot_be_revoked_is_not_forgotten(say: Say, refused: Refused, web: str, desk: Desk) -> None:
    say("connect", "cursor", "--as", "ada", "--write")
    with Client() as client:
        squad = str(client.squad().id)
    sentence = refused(4, "connect", "cursor", "--as", "ada", "--remove", "--squad", squad, SQUAD_API_KEY="sqd_wrong")
    assert sentence.startswith("The client is set up no longer, but the token couldn't be revoked: ")
    assert sentence.endswith("; try it again.")
    assert desk.files() == {}
    assert say("connect", "cursor", "--as", "ada", "--remove").endswith(" The token is revoked.")


def test_a_token_of_another_server_is_left_alone_and_that_server_hears_nothing(say: Say, web: str, desk: Desk) -> None:
    say("connect", "cursor", "--as", "ada", "--write")
    secret = token()
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        kept = tokens.keep(f"http://127.0.0.1:{other.getsockname()[1]}", "0193-other", web, "ada", "sqm_other", "id")
        assert say("connect", "cursor", "--as", "ada", "--remove").endswith(" The token is revoked.")
        with pytest.raises(BlockingIOError):
            other.accept()
    await_death(secret)
    assert tokens.find(web, "ada") == kept
    assert desk.files() == {}


def test_a_token_is_revoked_also_if_the_squad_got_another_name(say: Say, web: str, desk: Desk) -> None:
    with Client() as client:
        squad = str(client.squad().id)
    say("connect", "cursor", "--as", "ada", "--write", SQUAD_ID=web)
    say("squad", "edit", "--name", f"{web}-new", SQUAD_ID=squad)
    removed = say("connect", "cursor", "--as", "ada", "--remove", SQUAD_ID=f"{web}-new")
    assert removed.endswith(" The token is revoked.")
    assert tokens.find(squad, "ada") is None
    assert "revoked" in say("member", "tokens", "ada", SQUAD_ID=squad)


def test_two_that_connect_at_once_get_two_entries(say: Say, desk: Desk) -> None:
    names = ["ada", "bob", "cyd", "dan"]
    started = [
        subprocess.Popen([*ASQ, "connect", "cursor", "--as", name, "--write"], stdout=subprocess.DEVNULL)
        for name in names
    ]
    assert [process.wait(60) for process in started] == [0] * 4
    servers = json.loads((desk.folder / ".cursor" / "mcp.json").read_text())["mcpServers"]
    assert sorted(each["args"][-1] for each in servers.values()) == names
    assert all(token(name) for name in names)


@pytest.mark.parametrize("content", ["", "[]", '{"connections": 1, "made": {}}', '{"connections": [{}], "made": {}}'])
def test_notes_that_cannot_be_used_are_left_as_they_are_and_so_is_all_else(
    content: str, say: Say, refused: Refused, desk: Desk, tmp_path: Path
) -> None:
    say("connect", "cursor", "--as", "ada", "--write")
    before, file = desk.files(), tmp_path / "home" / notes.FILE
    good = file.read_bytes()
    file.write_text(content, encoding="utf-8")
    for arguments in (("cursor", "--write"), ("claude-code", "--write"), ("cursor", "--remove")):
        assert refused(1, "connect", *arguments, "--as", "ada") == (
            f"{file} can't be used (it is broken), so it is left as it is; mend it, or move it away and connect anew."
        )
    assert (desk.files(), file.read_text()) == (before, content)
    file.write_bytes(good)
    assert say("connect", "cursor", "--as", "ada", "--remove").endswith(" The token is revoked.")
    assert desk.files() == {}


def test_no_token_is_made_that_could_not_be_kept(refused: Refused, desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    file = tmp_path / "home" / tokens.FILE
    file.touch(0o600)
    for option in ((), ("--write",), ("--remove",)):
        assert refused(1, "connect", "cursor", "--as", "ada", *option).startswith(f"{file} can't be used ")
    with Client() as client:
        assert client.tokens("ada") == []
    assert (desk.files(), file.read_bytes()) == ({}, b"")


def test_the_program_is_found_without_a_path(desk: Desk, web: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agentsquad", "connect", "cursor", "--as", "ada", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(json.loads(done.stdout)["blocks"][0]["text"])["mcpServers"]["agentsquad"]["command"]
    assert found == str(Path(sys.executable).with_name("asq"))
