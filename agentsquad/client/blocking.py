"""`Client`: the asynchronous client for code that isn't, behind one thread of its own."""

import concurrent.futures
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
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
        self._left: list[AsyncGenerator[Any]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._inner, name)
        if inspect.isasyncgenfunction(found):
            return lambda *args, **more: self._iterate(found(*args, **more))
        if inspect.iscoroutinefunction(found):
            return lambda *args, **more: self._call(lambda: found(*args, **more))
        return found

    def __dir__(self) -> list[str]:
        return dir(self._inner)

    def _call(self, function: Callable[[], Awaitable[Any]]) -> Any:
        self._close_left()
        return self._wait(function)

    def _wait(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for it in the other thread; who is interrupted meanwhile cancels it."""
        future = self._portal.start_task_soon(function)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            concurrent.futures.wait([future])
            raise

    def _iterate(self, items: AsyncGenerator[Any]) -> Iterator[Any]:
        self._close_left()
        try:
            while True:
                try:
                    item = self._wait(items.__anext__)
                except StopAsyncIteration:
                    return
                yield Blocking(self._portal, item) if isinstance(item, Held) else item
        finally:
            # A loop that an error left is closed before anybody can know of the error: the client's end knows.
            self._left.append(items)

    def _close_left(self) -> None:
        while self._left:
            self._wait(self._left.pop().aclose)


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
        try:
            super().__init__(portal, portal.call(lambda: AsyncClient(*args, **more)))
        except BaseException:
            self._starting.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(lambda: self._inner.__aexit__(kind, error, trace))
            self._close_left()
        finally:
            self._starting.__exit__(None, None, None)
