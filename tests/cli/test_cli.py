"""The command itself, before any verb."""

import sys

import pytest

from agentsquad import cli


def test_without_the_server_its_verbs_say_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "backend.cli", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "The server is not installed; run pip install 'agentsquad-server[server]'.\n"
