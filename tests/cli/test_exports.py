"""A squad leaves as a file and comes in again; the page is opened with a link."""

import json
from pathlib import Path

import httpx

from tests.cli.conftest import Asq


def test_a_squad_leaves_and_comes_in_again(server: str, asq: Asq, tmp_path: Path) -> None:
    file = tmp_path / "webshop.jsonl"
    asq("squad", "create", "webshop")
    asq("task", "create", "Mend the cart", "--role", "tester")
    asq("member", "add", "hal", "--model", "offline:rehearsal", "--role", "writer")
    out = asq("squad", "export", str(file))
    assert out.stdout == f"{file}: {file.stat().st_size:,} bytes\n"
    assert json.loads(file.read_text().splitlines()[0])["name"] == "webshop"
    assert not list(tmp_path.glob("*.new"))
    came = asq("squad", "import", str(file), "--name", "copy")
    assert came.stdout == "copy is here; paused, for the server would run them: hal. Speak of it with `asq use copy`.\n"
    assert "Mend the cart" in asq("task", "list", "--squad", "copy").stdout
    assert asq("squad", "export", "-", "--squad", "copy").stdout.count("\n") > 5


def test_what_is_there_is_not_replaced_and_what_is_cut_off_is_refused(server: str, asq: Asq, tmp_path: Path) -> None:
    file = tmp_path / "webshop.jsonl"
    asq("squad", "create", "webshop")
    file.write_text("mine")
    refused = asq("squad", "export", str(file))
    assert (refused.returncode, file.read_text()) == (2, "mine")
    assert refused.stderr == f"{file} is there already; name another file, or give --force.\n"
    assert asq("squad", "export", str(file), "--force").returncode == 0
    file.write_text(file.read_text()[:-300])
    assert asq("squad", "import", str(file), "--name", "copy").returncode == 2
    assert asq("squad", "import", str(tmp_path / "nowhere")).returncode == 2
    assert [squad["name"] for squad in json.loads(asq("squad", "list", "--json").stdout)] == ["webshop"]
    nowhere = asq("squad", "export", str(tmp_path / "no" / "file"))
    assert (nowhere.returncode, "Traceback" in nowhere.stderr) == (2, False)


def test_a_link_opens_the_page_once(server: str, asq: Asq) -> None:
    link = asq("open", "--print").stdout.strip()
    assert link.startswith(f"{server}/login?link=")
    typed = {"Sec-Fetch-Site": "none"}  # as a browser says it
    with httpx.Client(headers=typed, follow_redirects=True, trust_env=False) as browser:
        assert browser.get(link).url.path == "/"
        assert browser.get(server).status_code == 200
    with httpx.Client(headers=typed, follow_redirects=True, trust_env=False) as another:
        another.get(link)
        assert another.get(server).url.path == "/login"
