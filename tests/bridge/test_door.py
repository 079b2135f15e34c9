"""Which token the bridge comes with."""

import pytest

from agentsquad import bridge, tokens
from agentsquad.client import Invalid

URL, SHOP = "http://127.0.0.1:8000", "0193-shop"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> tokens.Kept:
    """The token of `ada`, the only one that is kept; another is in the environment."""
    monkeypatch.setenv("SQUAD_TOKEN", " sqm_given\n")
    monkeypatch.setenv("SQUAD_URL", URL)
    monkeypatch.delenv("SQUAD_ID", raising=False)
    return tokens.keep(URL, SHOP, "webshop", "ada", "sqm_kept")


@pytest.mark.parametrize("squad", [SHOP, "webshop"])
def test_whoever_is_named_comes_with_the_token_that_is_kept(squad: str) -> None:
    assert bridge.find("ada", squad) == bridge.Door(URL, "sqm_kept", SHOP, "ada")


def test_the_squad_may_be_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUAD_ID", "webshop")
    assert bridge.find("ada", None).token == "sqm_kept"


@pytest.mark.parametrize(
    ("member", "squad"), [("tess", "webshop"), ("ada", "bank"), ("ada", None), (None, "webshop"), (None, None)]
)
def test_for_whom_none_is_kept_the_one_of_the_environment_is_taken(member: str | None, squad: str | None) -> None:
    assert bridge.find(member, squad) == bridge.Door(URL, "sqm_given", squad, member)


def test_a_token_of_another_server_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUAD_URL", "http://other")
    assert bridge.find("ada", SHOP) == bridge.Door("http://other", "sqm_given", SHOP, "ada")


def test_without_either_there_is_none_and_somebody_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUAD_TOKEN", " ")
    assert bridge.find("tess", "webshop") == bridge.Door(URL, None, "webshop", "tess")
    for member, squad in ((None, "webshop"), ("ada", None)):
        with pytest.raises(Invalid, match="As whom"):
            bridge.find(member, squad)
