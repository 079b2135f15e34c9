"""`Client`: the asynchronous client for code that isn't, behind one thread of its own."""

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from types import TracebackType
from typing import Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from agentsquad.client.asynchronous import AsyncClient
from agentsquad.client.working import Held


class Blocking:
    """Something whose methods are called in another thread's event loop, and are waited for."""

    def __init__(self, portal: BlockingPortal, inner: Any) -> None:
        self._portal = portal
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._inner, name)
        if inspect.isasyncgenfunction(found):
            return lambda *args, **more: self._iterate(found(*args, **more))
        if inspect.iscoroutinefunction(found):
            return lambda *args, **more: self._call(found, *args, **more)
        return found

    def __dir__(self) -> list[str]:
        return dir(self._inner)

    def _call(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        async def called() -> Any:
            return await function(*args, **more)

        return self._portal.call(called)

    def _iterate(self, items: AsyncGenerator[Any]) -> Iterator[Any]:
        try:
            while True:
                try:
                    item = self._portal.call(items.__anext__)
                except StopAsyncIteration:
                    return
                yield Blocking(self._portal, item) if isinstance(item, Held) else item
        finally:
            self._portal.call(items.aclose)


class Client(Blocking):
    """`AsyncClient` for code that isn't asynchronous: the same methods, each waited for; use it with `with`.

    Args: as those of `AsyncClient`.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self._given = (args, more)

    def __enter__(self) -> Self:
        self._starting = start_blocking_portal()
        portal = self._starting.__enter__()
        args, more = self._given
        super().__init__(portal, portal.call(lambda: AsyncClient(*args, **more)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self._inner.__aexit__, kind, error, trace)
        finally:
            self._starting.__exit__(None, None, None)
