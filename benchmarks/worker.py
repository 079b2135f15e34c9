"""A process for one side of the rows without HTTP: `python -m benchmarks.worker SIDE`, driven by `processes.Child`."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import uvloop

from backend.operations.access import Actor
from benchmarks.data import BULK, SQUADS, Data, people
from benchmarks.processes import serve

AT_ONCE = 200  # concurrent queries
THREADS = 40  # so many a framework gives to synchronous routes


class Side(Protocol):
    """What a side must be able to do."""

    def run(self, row: str, count: int) -> float:
        """Do it so many times; seconds per all."""

    def answer(self, row: str, index: int) -> bytes:
        """What it hands out."""


class Blocking:
    """Synchronous code: a loop for one after another, threads for many at once."""

    def __init__(self, module: Any, data: Data) -> None:
        self._module = module
        self._targets = [target for _, target in data.pairs()]
        self._owner = UUID(data.owner)
        self._threads = ThreadPoolExecutor(THREADS)

    def run(self, row: str, count: int) -> float:
        """Do it so many times; seconds per all."""
        new = people() if row.startswith("insert") else []
        start = time.perf_counter()
        match row:
            case "select":
                for index in range(count):
                    self._module.user_json(self._targets[index % len(self._targets)])
            case "concurrent":
                for first in range(0, count, AT_ONCE):
                    list(self._threads.map(self._module.user_json, turn(self._targets, first, AT_ONCE)))
            case "join":
                for _ in range(count):
                    self._module.squads_json(self._owner, SQUADS)
            case "insert":
                self._module.insert_users(new)
            case "insert_core":
                self._module.insert_users_core(new)
            case _:
                raise ValueError(row)
        return time.perf_counter() - start

    def answer(self, row: str, index: int) -> bytes:
        """What it hands out."""
        answer: bytes = (
            self._module.squads_json(self._owner, SQUADS)
            if row == "join"
            else self._module.user_json(self._targets[index])
        )
        return answer


class Looping:
    """Asynchronous code on uvloop, as the servers run it: a loop for one after another, tasks for many at once."""

    def __init__(self, side: Any, arguments: Sequence[Sequence[Any]], owner: str) -> None:
        self._side = side
        self._arguments = arguments
        self._owner = UUID(owner)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        if hasattr(side, "open"):
            self.do(side.open())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it on the side's own loop, which lives as long as the process."""
        return self._runner.run(work)

    def run(self, row: str, count: int) -> float:
        """Do it so many times; seconds per all."""
        work: dict[str, Callable[[int], Awaitable[None]]] = {
            "select": self._select,
            "concurrent": partial(self._concurrent, getattr(self._side, "many", self._gathered)),
            "concurrent_together": partial(self._concurrent, getattr(self._side, "many_together", self._gathered)),
            "join": self._join,
            "insert": partial(self._insert, people() if row == "insert" else []),
        }

        async def timed() -> float:
            start = time.perf_counter()
            await work[row](count)
            return time.perf_counter() - start

        seconds: float = self.do(timed())
        return seconds

    def answer(self, row: str, index: int) -> bytes:
        """What it hands out."""
        answer: bytes = self.do(
            self._side.squads_json(self._owner, SQUADS)
            if row == "join"
            else self._side.user_json(*self._arguments[index])
        )
        return answer

    async def _select(self, count: int) -> None:
        for index in range(count):
            await self._side.user_json(*self._arguments[index % len(self._arguments)])

    async def _concurrent(self, many: Callable[[Sequence[Any]], Awaitable[None]], count: int) -> None:
        for first in range(0, count, AT_ONCE):
            await many(turn(self._arguments, first, AT_ONCE))

    async def _gathered(self, wave: Sequence[Any]) -> None:
        await asyncio.gather(*(self._side.user_json(*arguments) for arguments in wave))

    async def _join(self, count: int) -> None:
        for _ in range(count):
            await self._side.squads_json(self._owner, SQUADS)

    async def _insert(self, new: list[tuple[str, str]], _count: int) -> None:
        assert len(new) == BULK
        await self._side.insert_users(new)


def turn(items: Sequence[Any], first: int, count: int) -> list[Any]:
    """So many items from there on, and again from the start."""
    return [items[index % len(items)] for index in range(first, first + count)]


def make(name: str) -> Side:
    """The side of that name."""
    data = Data.load(Path(os.environ["BENCH_DATA"]))
    module: Any = import_module(f"benchmarks.{name}")
    if name in ("b0", "b1"):
        return Blocking(module, data)
    if name == "b2":
        return Looping(module, [(target,) for _, target in data.pairs()], data.owner)
    side = module.Direct(os.environ["DATABASE_URL"])
    arguments: list[Sequence[Any]] = [(Actor(user_id=reader), str(target)) for reader, target in data.pairs()]
    if name == "limit":
        arguments = [side.arguments(*pair) for pair in arguments]
    return Looping(side, arguments, data.owner)


def main() -> None:
    """Serve one side."""
    side = make(sys.argv[1])

    def handle(do: str, row: str, count: int = 1) -> Any:
        return side.run(row, count) if do == "run" else side.answer(row, count).decode()

    serve(handle)


if __name__ == "__main__":
    main()
