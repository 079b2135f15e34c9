"""The command itself, before any verb."""

import subprocess
import sys

import pytest

from agentsquad import cli
from backend import cli as server
from tests.cli.conftest import Asq


def test_without_the_server_its_verbs_say_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "backend.cli", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "The server is not installed; run pip install 'agentsquad-server[server]'.\n"


def test_help_shows_every_command(asq: Asq) -> None:
    shown = asq("--help").stdout
    assert all(name in shown for name in ("serve", "stop", "doctor", "demo", "work", "admin"))
    assert "--stdin" in asq("work", "--help").stdout
    assert "--port" in asq("serve", "--help").stdout


def test_help_says_of_the_servers_commands_what_they_say_themselves() -> None:
    assert {name: str(server.command(name).help).partition("\n")[0] for name in server.VERBS} == cli.SERVER


@pytest.mark.parametrize("name", ["admin", "doctor", "stop"])
def test_what_serves_nothing_loads_no_web_server(name: str) -> None:
    script = f"import sys; from backend import cli; cli.command('{name}'); assert not {{'fastapi'}} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
