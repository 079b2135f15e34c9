"""Which model a name means, and what to say where there is none."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from os import environ
from typing import Final

from pydantic_ai.exceptions import UserError

from agentsquad.schemas.hosting import Hosting
from backend.core.settings import Settings
from backend.runner.errors import ModelFailed
from backend.runner.rehearsal import REHEARSAL

DEFAULT: Final = "default"
# By whose key is set: the provider's library, and a model of it that does such work at a fair price.
USUAL: Final = {
    "ANTHROPIC_API_KEY": ("anthropic", "anthropic:claude-sonnet-5-5"),
    "OPENAI_API_KEY": ("openai", "openai:gpt-6.1-terra"),
    "GOOGLE_API_KEY": ("google.genai", "google:gemini-3.8-flash"),
    "MISTRAL_API_KEY": ("mistralai", "mistral:mistral-medium-latest"),
    "GROQ_API_KEY": ("groq", "groq:openai/gpt-oss-120b"),
    "DEEPSEEK_API_KEY": ("openai", "deepseek:deepseek-v4-pro"),
    "CEREBRAS_API_KEY": ("openai", "cerebras:gpt-oss-120b"),
}
PERSONAL: Final = {"github-copilot", "openai-chatgpt", "openai-codex"}  # the account of whoever runs the server
# What may stand before the name of a model at an address, though there it means nothing.
SPOKEN: Final = ("openai:", "openai-chat:", "ollama:", "vllm:", "litellm:")


def default(settings: Settings) -> str:
    """The model of members that name none."""
    if settings.SQUAD_MODEL:
        return settings.SQUAD_MODEL
    return next((name for key, (library, name) in USUAL.items() if environ.get(key) and _there(library)), REHEARSAL)


def at_an_address(hosting: Hosting) -> str:
    """The name by which a member's own address knows the model.

    Raises:
        ModelFailed: the configuration names none.
    """
    name = hosting.model
    for prefix in SPOKEN:
        name = name.removeprefix(prefix)
    if name in {"", DEFAULT}:
        raise ModelFailed(
            f"A member with an address of its own names the model there; give it beside {hosting.base_url}."
        )
    return name


def check(name: str) -> None:
    """See that it is a model that a server may ask.

    Raises:
        ModelFailed: it isn't.
    """
    provider, colon, model = name.partition(":")
    if not colon or not provider or not model:
        raise ModelFailed(f"{name} names no model; write it as provider:model, such as {USUAL['OPENAI_API_KEY'][1]}.")
    if provider == REHEARSAL.partition(":")[0]:
        raise ModelFailed(f"{name} is no model; without a network there is {REHEARSAL}.")
    if provider in PERSONAL:
        raise ModelFailed(f"{provider} needs a person who logs in, and a server has none; choose another provider.")


@contextmanager
def sentences(name: str) -> Iterator[None]:
    """Let what a provider's library says about its set-up become one sentence.

    Raises:
        ModelFailed: it said something.
    """
    provider = name.partition(":")[0]
    try:
        yield
    except ModelFailed:
        raise
    except ImportError:
        raise ModelFailed(
            f"{provider} needs a library that isn't here; add it: pip install 'pydantic-ai-slim[{provider}]'."
        ) from None
    except UserError as error:
        found = re.search(r"`([A-Z][A-Z0-9_]{3,})`", str(error))
        if found is None:
            raise ModelFailed(f"There is no model {name}; correct the member's model.") from None
        raise ModelFailed(
            f"{provider} needs {found[1]}, which isn't set; set it in the server's environment and start it again."
        ) from None
    except Exception as error:  # noqa: BLE001  # each library has errors of its own, and they may hold what is secret
        raise ModelFailed(
            f"{provider} can't be asked as the server is set up ({type(error).__name__}); see to its credentials."
        ) from None


def _there(library: str) -> bool:
    """Whether a library is installed."""
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # nor is what it is part of
        return False
