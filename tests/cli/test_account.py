"""`asq login`, `logout`, `whoami` and `use`; `asq user …` and `asq key …`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentsquad import profile
from agentsquad.schemas.users import Key, KeySecret, User
from tests.cli.conftest import Site, Type

Say = Callable[..., str]
Refused = Callable[..., str]


@pytest.fixture
def stranger(site: Site, web: str, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Somebody whose environment names nothing."""
    for name in ("SQUAD_URL", "SQUAD_API_KEY", "SQUAD_ID"):
        monkeypatch.delenv(name)
    return site


def test_a_login_is_kept_for_its_owner_alone(stranger: Site, say: Say, web: str, typed: Type) -> None:
    here = f"{stranger.url}   owner@localhost (administrator)"
    assert say("login", stranger.url, "--key", stranger.key, COLUMNS="300").startswith(f"{here}; ")
    assert say("use", web) == f"{web}: 2 members; owner@localhost owns it as `owner`"
    assert say("whoami") == f"{here}; `owner` in {web} (owner), 0 unread"
    assert Path(profile._file()).stat().st_mode & 0o777 == 0o600
    assert say("logout") == "Forgotten."
    assert profile.kept() == {}


def test_a_key_is_read_from_standard_input(stranger: Site, say: Say) -> None:
    say("login", stranger.url, stdin=stranger.key.encode() + b"\n")
    assert profile.kept() == {"url": stranger.url, "key": stranger.key}


@pytest.mark.parametrize(
    ("key", "code", "sentence"),
    [
        (b"", 2, "No key was given; an administrator makes one with `asq user add`."),
        (b"sqd_wrong", 4, "This key is unknown or revoked; make a new one."),
        (b"a\nb", 2, "The key or the member's name can't be sent; it holds a line break."),
        (b"\xff", 2, "standard input is no UTF-8; give it text."),
    ],
)
def test_a_key_that_opens_nothing_is_not_kept(
    stranger: Site, refused: Refused, key: bytes, code: int, sentence: str
) -> None:
    assert refused(code, "login", stranger.url, stdin=key) == sentence
    assert profile.kept() == {}


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://[::1", "ftp://x", "nonsense", "http://a b"])
def test_what_is_no_address_is_one_sentence(stranger: Site, refused: Refused, url: str) -> None:
    assert refused(2, "login", url, "--key", "x") == (
        f"{url} is no server's address; give one such as http://127.0.0.1:8000."
    )


def test_a_file_that_cannot_be_written_is_one_sentence(stranger: Site, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = refused(1, "login", stranger.url, "--key", stranger.key, SQUAD_HOME=f"{tmp_path}/file")
    assert sentence.startswith("[Errno ")


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"url": 7, "key": null, "squad": []}'])
def test_a_file_that_is_broken_is_as_none(web: str, say: Say, content: str) -> None:
    file = profile._file()
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, encoding="utf-8")
    assert say("whoami").endswith("0 unread")


def test_accounts_and_keys(say: Say, typed: Type, refused: Refused, web: str) -> None:
    email = f"{web}@example.com"
    made = say("user", "add", email, "--name", "Grace")
    secret = made.splitlines()[0]
    assert say("whoami", SQUAD_API_KEY=secret, SQUAD_ID="", COLUMNS="200").endswith(
        f"{email}; Which squad? Make one with `asq squad create NAME`."
    )
    assert any(email in line for line in say("user", "list", COLUMNS="200").splitlines())
    assert [User(**user).email for user in typed("user", "list", "--json", SQUAD_API_KEY=secret).json] == [email]
    key = KeySecret(**typed("key", "new", "laptop", "--user", email, "--json").json)
    keys = [Key(**each) for each in typed("key", "list", "--json", SQUAD_API_KEY=key.secret).json]
    assert [each.name for each in keys] == ["laptop", "first"]
    assert say("key", "revoke", str(keys[1].id)) == "Revoked."
    assert refused(3, "key", "revoke", "nonesuch") == "Key not found"
    assert refused(2, "key", "revoke", "../squads").startswith('"../squads" is no name and no id')
    assert refused(3, "key", "new", "--user", "no@example.com").startswith("There is no account no@example.com")
    assert refused(5, "user", "add", email) == f"{email} has an account already."
    assert refused(2, "user", "add", "nobody").startswith("email can't be used: ")
    assert refused(4, "user", "add", "x@example.com", SQUAD_API_KEY=key.secret).startswith("Only an administrator")


def test_one_squad_of_several_is_chosen(stranger: Site, refused: Refused, say: Say, web: str) -> None:
    say("squad", "create", f"other-{web}", SQUAD_URL=stranger.url, SQUAD_API_KEY=stranger.key)
    sentence = refused(2, "task", "list", SQUAD_URL=stranger.url, SQUAD_API_KEY=stranger.key)
    assert sentence.startswith("Which squad? Choose with `asq use`: ")
    assert json.dumps(web).strip('"') in sentence
