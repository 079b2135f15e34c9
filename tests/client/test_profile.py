"""With what the client comes when nobody tells it."""

import json
from pathlib import Path

import pytest

from agentsquad import local, profile
from agentsquad.client import AsyncClient, Invalid


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_the_environment_goes_before_what_was_kept_and_that_before_what_a_server_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (profile.url(), profile.key(), profile.squad()) == (profile.URL, None, None)
    with local.announced(home, "http://127.0.0.1:7"):
        (home / local.KEY).write_text("sqd_left\n", encoding="utf-8")
        assert (profile.url(), profile.key()) == ("http://127.0.0.1:7", "sqd_left")
        profile.keep(url="http://kept", key="sqd_kept", squad="web")
        assert (profile.url(), profile.key(), profile.squad()) == ("http://kept", "sqd_kept", "web")
    for name, value in {"URL": "http://given", "API_KEY": "sqd_given", "ID": "shop"}.items():
        monkeypatch.setenv(f"SQUAD_{name}", value)
    assert (profile.url(), profile.key(), profile.squad()) == ("http://given", "sqd_given", "shop")
    monkeypatch.setenv("SQUAD_TOKEN", "sqm_given")
    assert profile.key() == "sqm_given"


def test_what_is_kept_is_for_its_owner_alone_and_can_be_forgotten(home: Path) -> None:
    profile.keep(url="http://kept", key="sqd_kept")
    profile.keep(squad="web")
    file = home / profile.FILE
    assert json.loads(file.read_text()) == {"url": "http://kept", "key": "sqd_kept", "squad": "web"}
    assert file.stat().st_mode & 0o777 == 0o600
    profile.keep(key=None)
    assert profile.kept() == {"url": "http://kept", "squad": "web"}
    assert [each.name for each in home.iterdir()] == [profile.FILE]


@pytest.mark.parametrize("content", ["", "no json", "[]", "\udcff"])
def test_a_file_that_cannot_be_used_is_as_none(home: Path, content: str) -> None:
    (home / profile.FILE).write_text(content, encoding="utf-8", errors="surrogateescape")
    assert profile.kept() == {}


@pytest.mark.parametrize("url", ["", " ", "localhost:8000", "http://", "http://[::1", "http://a:b"])
def test_what_is_no_address_is_one_sentence(home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUAD_URL", url or "x")
    with pytest.raises(Invalid, match="is no server's address; give one such as http"):
        AsyncClient()
