"""The tokens of this machine's members."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentsquad import local, tokens

URL, SHOP, BANK = "http://127.0.0.1:8000", "0193-shop", "0193-bank"


@pytest.fixture
def file() -> Path:
    return local.home() / tokens.FILE


def test_a_token_is_found_by_squad_member_and_server(file: Path) -> None:
    kept = tokens.keep(f"{URL}/", SHOP, "webshop", "ada", "sqm_1", "id-1")
    for squad in (SHOP, "webshop"):
        assert (
            tokens.find(squad, "ada") == tokens.find(squad, "ada", URL) == tokens.find(squad, "ada", f"{URL}/") == kept
        )
    assert kept.url == URL
    assert (
        tokens.find("webshop", "tess") is tokens.find("bank", "ada") is tokens.find(SHOP, "ada", "http://other") is None
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_new_token_takes_the_place_of_the_old_one(file: Path) -> None:
    tokens.keep(URL, SHOP, "webshop", "ada", "sqm_1")
    tokens.keep(URL, SHOP, "shop", "ada", "sqm_2")
    found = tokens.find("shop", "ada")
    assert found is not None
    assert found.token == "sqm_2"
    assert tokens.find("webshop", "ada") is None
    assert len(json.loads(file.read_text())["tokens"]) == 1


def test_of_two_squads_of_one_name_the_later_is_found_and_each_by_its_id() -> None:
    first = tokens.keep(URL, SHOP, "web", "ada", "sqm_1")
    second = tokens.keep("http://other", BANK, "web", "ada", "sqm_2")
    assert tokens.find("web", "ada") == second
    assert tokens.find("web", "ada", URL) == tokens.find(SHOP, "ada") == first


def test_a_token_is_forgotten_once_and_no_other() -> None:
    tokens.keep(URL, SHOP, "webshop", "ada", "sqm_1")
    other = tokens.keep(URL, SHOP, "webshop", "tess", "sqm_2")
    for _ in range(2):
        tokens.forget(f"{URL}/", SHOP, "ada")
    assert tokens.find(SHOP, "ada") is None
    assert tokens.find(SHOP, "tess") == other


def test_a_token_is_not_shown() -> None:
    assert "sqm_1" not in repr(tokens.keep(URL, SHOP, "webshop", "ada", "sqm_1"))


def test_a_file_that_others_can_read_is_refused_with_the_remedy(file: Path) -> None:
    tokens.keep(URL, SHOP, "webshop", "ada", "sqm_1")
    file.chmod(0o644)
    with pytest.raises(PermissionError, match="can be read by others; run `chmod 600 "):
        tokens.find(SHOP, "ada")
    tokens.keep(URL, SHOP, "webshop", "ada", "sqm_2")
    assert tokens.find(SHOP, "ada") is not None


@pytest.mark.parametrize(
    "content",
    [b"", b"no json", b"[]", b"{}", b'{"tokens": 1}', b'{"tokens": {"ada": "sqm_1"}}', b"\xff", b"\0", b"[" * 100_000],
)
def test_a_file_that_is_broken_is_refused_with_the_remedy_and_left_as_it_is(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    file.chmod(0o600)
    sentence = f"{file} can't be used (it is broken), so it is left as it is; mend it, or move it away and connect anew"
    refuse(sentence)
    assert file.read_bytes() == content
    file.unlink()
    kept = tokens.keep(URL, SHOP, "webshop", "ada", "sqm_1")
    assert tokens.find(SHOP, "ada") == kept


def test_a_file_that_cannot_be_read_is_refused_with_the_remedy_and_left_as_it_is(file: Path) -> None:
    file.mkdir(mode=0o700, parents=True)
    refuse(f"{file} can't be used (Is a directory), so it is left as it is; ")
    assert list(file.iterdir()) == []


def refuse(sentence: str) -> None:
    with pytest.raises(OSError, match=re.escape(sentence)):
        tokens.find(SHOP, "ada")
    with pytest.raises(OSError, match=re.escape(sentence)):
        tokens.keep(URL, SHOP, "webshop", "ada", "sqm_1")
    with pytest.raises(OSError, match=re.escape(sentence)):
        tokens.forget(URL, SHOP, "ada")


def test_an_entry_that_cannot_be_used_costs_no_other_and_stays(file: Path) -> None:
    kept = tokens.keep(URL, SHOP, "webshop", "ada", "sqm_1")
    unknown = [None, 1, {"url": URL}, {**json.loads(file.read_text())["tokens"][0], "member": "bob", "of_tomorrow": 1}]
    content = json.loads(file.read_text())
    file.write_text(json.dumps({"tokens": [*unknown, *content["tokens"]]}), encoding="utf-8")
    tokens.keep(URL, SHOP, "webshop", "tess", "sqm_2")
    assert tokens.find(SHOP, "ada") == kept
    tokens.forget(URL, SHOP, "tess")
    assert json.loads(file.read_text())["tokens"] == [*unknown, *content["tokens"]]


def test_processes_that_keep_at_once_lose_nothing(file: Path) -> None:
    code = (
        "import sys\nfrom agentsquad import tokens\n"
        f"for number in range(25): tokens.keep('{URL}', '{SHOP}', 'web', sys.argv[1] + str(number), 'sqm_x')"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("a", "b", "c")]
    for process in started:
        assert process.wait(60) == 0
    members = {each["member"] for each in json.loads(file.read_text())["tokens"]}
    assert members == {f"{name}{number}" for name in "abc" for number in range(25)}
    assert sorted(each.name for each in file.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


def test_the_remedy_names_who_it_is() -> None:
    assert tokens.remedy("webshop", "ada") == "run `asq connect CLIENT --squad webshop --as ada` again"
