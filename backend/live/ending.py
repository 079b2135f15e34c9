"""Hearing that the process is to stop, before the server waits for its connections to end.

A server ends its application when all requests are answered; a stream is never answered. So whoever serves
streams has to hear of the signal itself, whichever server runs it.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def announced(end: Callable[[], None]) -> Iterator[None]:
    """Call `end` in the running loop when a signal comes that stops the process, and then whoever handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    loop = asyncio.get_running_loop()
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def hear(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(end)
        if callable(handlers[number]):
            handlers[number](number, frame)

    heard = [number for number, handler in handlers.items() if callable(handler)]
    for number in heard:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number in heard:
            if signal.getsignal(number) is hear:
                signal.signal(number, handlers[number])
