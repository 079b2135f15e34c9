"""From a member's configuration to a model that can be asked.

With an address of its own a member gets whatever speaks OpenAI's chat API there, over the checked client and without
any key of the environment. Otherwise it is a provider of pydantic-ai, with the provider's own key and address from the
server's environment.
"""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from agentsquad.schemas.hosting import Hosting
from backend.core.settings import Settings
from backend.runner import addresses, choosing
from backend.runner.errors import AddressRefused, ModelFailed
from backend.runner.rehearsal import REHEARSAL, Rehearsal

# Many who speak the chat API know an older form of it, and a stream without its end was cut.
PROFILE: Final = OpenAIModelProfile(
    openai_chat_streaming_requires_finish_reason=True,
    openai_chat_supports_max_completion_tokens=False,
    openai_chat_supports_multiple_system_messages=False,
)


class Endpoint(OpenAIChatModel):
    """A model at an address that a member's configuration names."""


class Models:
    """Models by configuration, and the connections to them. The connections are closed at the end.

    Args:
        settings: with the default model, the allowed networks and the keys.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._providers: dict[str, Provider[Any]] = {}  # few: one for each name that pydantic-ai knows
        self._open: set[str] = set()
        self._making = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # Reading the certificates of the system takes a moment.
            client = await asyncio.to_thread(addresses.client, self._settings)
            self._client = await stack.enter_async_context(client)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def name(self, hosting: Hosting) -> str:
        """The model's name, also where the configuration leaves it to the server."""
        return choosing.default(self._settings) if hosting.model == choosing.DEFAULT else hosting.model

    async def resolve(self, hosting: Hosting) -> Model:
        """The model of a member.

        Raises:
            ModelFailed: there is none of that name, or something for it is missing here.
        """
        if hosting.base_url and hosting.model != REHEARSAL:
            return self._at(hosting.base_url, choosing.at_an_address(hosting))
        name = self.name(hosting)
        if name == REHEARSAL:
            return Rehearsal()
        async with self._making:  # a provider's library takes up to a second to load, and reads files
            model = await asyncio.to_thread(self._inferred, name)
            for each, provider in self._providers.items():
                if each not in self._open:
                    await self._stack.enter_async_context(provider)
                    self._open.add(each)
            return model

    def _at(self, base_url: str, name: str) -> Model:
        try:
            place = addresses.place(base_url)
        except AddressRefused as error:
            raise ModelFailed(error.detail) from None
        provider = OpenAICompatibleProvider(place, base_url=base_url, http_client=self._client, profile=PROFILE)
        return Endpoint(name, provider=provider)

    def _inferred(self, name: str) -> Model:
        choosing.check(name)
        with choosing.sentences(name):
            model = infer_model(name, self._provider)
            model.profile  # noqa: B018  # reads the list of models when it is asked for the first time
            return model

    def _provider(self, name: str) -> Provider[Any]:
        if name not in self._providers:
            try:
                infer_provider_class(name)
            except ValueError:
                raise UserError("There is no such provider.") from None
            self._providers[name] = infer_provider(name)
        return self._providers[name]
