import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.core import settings
from backend.core.errors import StartError
from backend.core.settings import Settings


def test_the_defaults(tmp_path: Path) -> None:
    made = settings.load()
    assert (made.DATABASE_URL, made.SQUAD_HOST, made.SQUAD_PORT) == ("", "127.0.0.1", 8000)
    assert str(made.SQUAD_HOME) == f"{tmp_path}/home"


def test_names_are_prefixed_so_that_no_stranger_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(name.startswith("SQUAD_") for name in Settings.model_fields if name != "DATABASE_URL")
    monkeypatch.setenv("HOST", "x86_64-conda-linux-gnu")
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("squad_port", "2")
    assert (settings.load().SQUAD_HOST, settings.load().SQUAD_PORT) == ("127.0.0.1", 8000)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_networks_and_keys_are_lists_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUAD_PRIVATE_NETWORKS", " 127.0.0.1\n10.0.0.0/8 fd00::/8 ")
    monkeypatch.setenv("SQUAD_KEYS", "API.example.com=a=b [::1]:8080=c localhost:11434=d")
    made = settings.load()
    assert [str(each) for each in made.SQUAD_PRIVATE_NETWORKS] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
    assert {host: key.get_secret_value() for host, key in made.SQUAD_KEYS.items()} == {
        "api.example.com": "a=b",
        "[::1]:8080": "c",
        "localhost:11434": "d",
    }


def test_a_key_shows_in_no_repr_and_no_error() -> None:
    made = Settings(SQUAD_KEYS="api.example.com=s3cret")
    assert "s3cret" not in f"{made!r} {made!s} {made.model_dump()!r} {made.model_dump_json()}"
    with pytest.raises(ValidationError) as refused:
        Settings(SQUAD_KEYS="s3cret")
    assert "s3cret" not in str(refused.value)


def test_settings_are_frozen() -> None:
    made = Settings(SQUAD_PORT=1)
    with pytest.raises(ValidationError):
        made.SQUAD_PORT = 2  # type: ignore[misc]


def test_a_misspelt_keyword_is_refused() -> None:
    with pytest.raises(ValidationError):
        Settings(SQUAD_PROT=1)  # type: ignore[call-arg]


def test_a_variable_that_is_unknown_or_empty_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUAD_FUTURE", "1")
    monkeypatch.setenv("SQUAD_PORT", "")
    monkeypatch.setenv("SQUAD_HOME", "")
    assert settings.load().SQUAD_PORT == 8000
    assert str(settings.load().SQUAD_HOME) == str(Path.home() / ".agentsquad")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SQUAD_PORT", "s3cret"),
        ("SQUAD_PORT", "65536"),
        ("SQUAD_MIGRATE", "s3cret"),
        ("SQUAD_LOG_LEVEL", "s3cret"),
        ("SQUAD_POOL_SIZE", "0"),
        ("SQUAD_READ_CONNECTIONS", "s3cret"),
        ("SQUAD_HOME", "~s3cret/home"),
        ("SQUAD_MODEL", "s3cret"),
        ("SQUAD_MODEL", "openai:s3cret gpt"),
        ("SQUAD_PRIVATE_NETWORKS", "s3cret"),
        ("SQUAD_PRIVATE_NETWORKS", "127.0.0.1 10.0.0.1/8 s3cret"),
        ("SQUAD_KEYS", "s3cret"),
        ("SQUAD_KEYS", "api.example.com=k =s3cret"),
        ("SQUAD_KEYS", "api.example.com=k mcp.example.com="),
        ("SQUAD_KEYS", "https://api.example.com=s3cret"),
        ("SQUAD_KEYS", "api.example.com=s3crét"),
    ],
)
def test_an_unusable_value_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:s3cret@h/board")
    with pytest.raises(StartError) as refused:
        settings.load()
    assert name in refused.value.detail
    assert "s3cret" not in refused.value.detail
    assert "\n" not in refused.value.detail
    assert refused.value.detail.endswith(".")


def test_the_default_instance_is_importable_and_read_on_first_access() -> None:
    script = """
import os
import backend.core.settings
os.environ["DATABASE_URL"] = "postgresql://h/late"
from backend.core.settings import settings
assert settings.DATABASE_URL == "postgresql://h/late"
from backend.core.settings import settings as again
assert again is settings
"""
    subprocess.run([sys.executable, "-c", script], check=True)
