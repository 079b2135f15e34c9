"""The runner in a server."""

from pathlib import Path

import pytest

from backend.app import create_app
from backend.core.settings import Settings
from backend.runner.models import Models
from tests.campaigns.crew import until


async def test_a_server_whose_runner_cannot_start_says_so_and_serves(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Models) -> Models:
        raise FileNotFoundError("no certificates")

    monkeypatch.setattr(Models, "__aenter__", broken)
    app = create_app(Settings(DATABASE_URL=database_url, SQUAD_HOME=tmp_path / "home", SQUAD_RUNNER="on"))
    async with app.router.lifespan_context(app):
        await until(lambda: "Hosted members are not run by this process" in caplog.text, 30)
    assert "no certificates" in caplog.text
