"""The official conformance suite against the real door: what is behind it is the product, or the suite's fixtures."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.interfaces.mcp import door
from tests.conformance import server, suite
from tests.conformance.suite import REVISIONS, Check, unexplained
from tests.interfaces.http.conftest import Site, listening
from tests.interfaces.mcp.conftest import MODES, Squad, admin, joined, settings, site, squad, url

__all__ = ["admin", "settings", "site", "squad", "url"]  # fixtures
BASELINE: Final = Path(__file__).with_name("expected_failures.yml")
REASONS: Final[dict[str, dict[str, str]]] = yaml.safe_load(BASELINE.read_text(encoding="utf-8"))
OWN: Final = {  # scenarios that look for nothing but what the product has, and for what it can do without
    "2025-11-25": ["server-initialize", "server-session-lifecycle", "ping"],
    "2026-07-28": ["server-stateless", "caching", "sep-2164-resource-not-found", "http-header-validation"],
}
ALWAYS: Final = ["tools-list", "resources-list", "prompts-list", "dns-rebinding-protection"]
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


class Carrying:
    """Plain ASGI middleware that gives every request the token of a member: the suite sends none."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._header = (b"authorization", f"Bearer {token}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [*scope["headers"], self._header]
        await self._app(scope, receive, send)


@pytest.fixture
def installed() -> None:
    if not suite.installed():
        pytest.skip(suite.MISSING)  # it comes by npm, which not every machine reaches


@pytest.fixture
async def address(installed: None, site: Site, squad: Squad) -> AsyncIterator[str]:
    """The product."""
    async with listening(Carrying(site.app, await squad.token("ada"))) as url:
        yield f"{url}/mcp"


@pytest.fixture
async def fixtures(site: Site) -> AsyncIterator[None]:
    """Another server behind the product's door."""
    async with door.opened(server.create(), site.app.state):
        yield


@pytest.mark.parametrize("revision", REVISIONS)
async def test_all_that_a_revision_requires(address: str, fixtures: None, revision: str, tmp_path: Path) -> None:
    checks = await suite.run(address, revision, tmp_path / "results")
    show(revision, checks)
    assert {check.scenario for check in checks} == suite.wanted(revision)
    assert unexplained(checks, REASONS[revision]) == []


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_product_itself(address: str, revision: str, tmp_path: Path) -> None:
    own = {*OWN[revision], *ALWAYS}
    checks = await suite.run(address, revision, tmp_path / "results")
    seen = [check for check in checks if check.scenario in own and check.seen]
    assert {check.scenario for check in seen} == own
    assert unexplained(seen, {}) == []


@pytest.mark.parametrize("mode", MODES)
async def test_the_fixtures_stand_behind_the_door(fixtures: None, squad: Squad, mode: str) -> None:
    async with joined(squad.url, await squad.token("ada"), mode) as ada:
        said = await ada.result("test_simple_text")
        assert said.content[0].model_dump()["text"] == "This is a simple text response for testing."


def test_a_failure_without_a_reason_is_found() -> None:
    checks = [Check("a", "1", "SUCCESS"), Check("a", "2", "FAILURE", "Not so."), Check("b", "1", "WARNING", "Hm.")]
    assert unexplained(checks, {}) == ["a/2: FAILURE: Not so.", "b/1: WARNING: Hm."]
    assert unexplained(checks, {"a/2": "Because.", "b": "Because."}) == []
    assert unexplained(checks, {"a/1": "Because.", "b": "Because."}) == [
        "a/2: FAILURE: Not so.",
        "a/1: passes, so its reason can go",
    ]


def show(revision: str, checks: list[Check]) -> None:
    """The scenarios in a table, for whoever runs it by hand."""
    print(f"\n{revision}")  # noqa: T201
    for scenario in dict.fromkeys(check.scenario for check in checks):
        of = [check for check in checks if check.scenario == scenario]
        print(f"  {scenario:50} {sum(check.passed for check in of)} of {len(of)} passed")  # noqa: T201


def test_every_reason_is_a_sentence() -> None:
    said: list[Any] = [why for reasons in REASONS.values() for why in reasons.values()]
    assert all(isinstance(why, str) and why.endswith(".") for why in said)
