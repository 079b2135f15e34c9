import logging
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic_ai.models import Model, ModelRequestParameters

from agentsquad.schemas.hosting import Hosting, ModelSettings
from backend.cli.serve import OUTSIDE, log_from
from backend.core.settings import Settings
from backend.runner.errors import ModelFailed
from backend.runner.models import Endpoint, Models
from backend.runner.questions import Question
from tests.runner.asked import asked, local
from tests.runner.standin import StandIn

CANARY = "canary-90be"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC", "OPENAI", "GOOGLE", "GEMINI", "MISTRAL", "GROQ", "DEEPSEEK", "CEREBRAS", "OPENROUTER"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    async with Models(local()) as models:
        yield models


@pytest.fixture
async def served() -> AsyncIterator[StandIn]:
    async with StandIn() as served:
        yield served


async def test_a_member_that_names_none_gets_the_servers_model(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.name(Hosting()) == "offline:rehearsal"
    monkeypatch.setenv("GROQ_API_KEY", "its library isn't installed")
    assert models.name(Hosting()) == "offline:rehearsal"
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert models.name(Hosting()) == "offline:rehearsal"
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert models.name(Hosting()).startswith("openai:")
    assert (await models.resolve(Hosting())).system == "openai"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    assert models.name(Hosting()).startswith("anthropic:")
    assert (await models.resolve(Hosting())).system == "anthropic"
    assert models.name(Hosting(model="openai:gpt-5")) == "openai:gpt-5"
    async with Models(Settings(SQUAD_MODEL="ollama:qwen3:8b")) as others:
        assert others.name(Hosting()) == "ollama:qwen3:8b"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt-5", "gpt-5 names no model; write it as provider:model, such as openai:"),
        ("test", "test names no model; "),
        ("openai:", "openai: names no model; "),
        (":gpt", ":gpt names no model; "),
        ("offline:gpt", "offline:gpt is no model; without a network there is offline:rehearsal."),
        ("nobody:gpt", "There is no model nobody:gpt; correct the member's model."),
        ("gateway/nobody:gpt", ""),
        ("openai:gpt-5", "openai needs OPENAI_API_KEY, which isn't set; set it in the server's environment"),
        ("openai-chat:gpt-5", "openai-chat needs OPENAI_API_KEY, "),
        ("anthropic:claude", "anthropic needs ANTHROPIC_API_KEY, "),
        ("deepseek:x", "deepseek needs DEEPSEEK_API_KEY, "),
        ("ollama:qwen3", "ollama needs OLLAMA_BASE_URL, "),
        ("groq:x", "groq needs a library that isn't here; add it: pip install 'pydantic-ai-slim[groq]'."),
        ("mistral:x", "mistral needs a library that isn't here; "),
        ("openai-codex:gpt", "openai-codex needs a person who logs in, and a server has none; "),
        ("github-copilot:gpt", "github-copilot needs a person who logs in, "),
    ],
)
async def test_what_is_missing_is_one_sentence(models: Models, name: str, said: str) -> None:
    with pytest.raises(ModelFailed) as failed:
        await models.resolve(Hosting(model=name))
    assert failed.value.detail.startswith(said)
    assert failed.value.detail.endswith(".")
    assert "\n" not in failed.value.detail


async def test_an_address_gets_the_model_that_is_named_there(models: Models) -> None:
    for name, expected in (
        ("qwen3:8b", "qwen3:8b"),
        ("ollama:qwen3:8b", "qwen3:8b"),
        ("openai-chat:m", "m"),
        ("org/m", "org/m"),
    ):
        model = await models.resolve(Hosting(model=name, base_url="http://localhost:11434/v1"))
        assert isinstance(model, Endpoint)
        assert (model.model_name, model.system) == (expected, "localhost:11434")
    for name in ("default", "openai:"):
        with pytest.raises(ModelFailed, match="names the model there"):
            await models.resolve(Hosting(model=name, base_url="http://localhost:11434/v1"))
    with pytest.raises(ModelFailed, match="is no address"):
        await models.resolve(Hosting(model="m", base_url="http://localhost:99999/v1"))


async def window(models: Models, hosting: Hosting) -> int | None:
    return Question("m", hosting, await models.resolve(hosting), ModelRequestParameters(), "").window


async def test_the_window_is_the_members_or_what_is_known(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert (await window(models, Hosting(model="openai:gpt-6.1-terra")) or 0) > 100_000
    assert await window(models, Hosting(model="openai:gpt-99")) is None
    assert await window(models, Hosting(model="m", base_url="http://localhost:1/v1")) is None
    assert await window(models, Hosting(model="offline:rehearsal")) is None
    assert await window(models, Hosting(model="openai:gpt-5", settings=ModelSettings(window=2_000))) == 2_000


async def test_connections_end_with_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    async with Models(local()) as models:
        own = await models.resolve(Hosting(model="openai:gpt-5"))
        again = await models.resolve(Hosting(model="openai:gpt-5-mini"))
        named = await models.resolve(Hosting(model="m", base_url="http://localhost:1/v1"))
        clients = [_client(model) for model in (own, again, named)]
        assert clients[0] is clients[1]
        assert [client.is_closed for client in clients] == [False] * 3
    assert [client.is_closed for client in clients] == [True] * 3


def _client(model: Model) -> httpx2.AsyncClient:
    assert model.provider
    client = model.provider.client._client
    assert isinstance(client, httpx2.AsyncClient)
    return client


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_a_providers_key_is_in_no_log_at_any_level_of_the_server(
    models: Models, served: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, level: str
) -> None:
    before = {name: logging.getLogger(name).level for name in ("", "alembic", "mcp", "backend.core.pool", *OUTSIDE)}
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_BASE_URL", served.url)
    served.script.extend([{"status": 500}, {"status": 401}])
    try:
        log_from(level)
        logging.getLogger().setLevel(level.upper())
        model = await models.resolve(Hosting(model="openai-chat:gpt-5"))
        with pytest.raises(ModelFailed, match="correct the provider's key in the server's environment") as failed:
            await asked(model, words=f"secret {CANARY}-task")
    finally:
        for name, each in before.items():
            logging.getLogger(name).setLevel(each)
    assert served.calls[0].headers["authorization"] == f"Bearer {CANARY}"
    assert len(served.calls) == 2
    assert CANARY not in caplog.text
    assert CANARY not in repr(model) + repr(model.provider) + failed.value.detail
