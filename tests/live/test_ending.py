"""A process hears that it is to stop, and whoever else listens for it hears it too."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from backend.live.ending import SIGNALS, announced
from tests.campaigns.crew import until
from tests.live.stage import PATIENCE


@pytest.fixture
def servers() -> Iterator[list[int]]:
    """The signals that the server itself has handled."""
    handled: list[int] = []
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda given, _frame: handled.append(given))
    yield handled
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_end_is_announced_and_the_server_hears_the_signal_as_well(
    servers: list[int], number: signal.Signals
) -> None:
    ends: list[str] = []
    with announced(lambda: ends.append("end")):
        os.kill(os.getpid(), number)
        await until(lambda: ends == ["end"], PATIENCE)
    assert servers == [number]


async def test_afterwards_everything_is_as_it_was(servers: list[int]) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    ends: list[str] = []
    with announced(lambda: ends.append("end")):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: servers == [signal.SIGTERM], PATIENCE)
    assert ends == []


async def test_a_handler_that_came_later_stays(servers: list[int]) -> None:
    def later(_number: int, _frame: object) -> None:
        servers.append(0)

    with announced(lambda: None):
        signal.signal(signal.SIGTERM, later)
    assert signal.getsignal(signal.SIGTERM) is later


async def test_where_nobody_handles_a_signal_it_keeps_its_own_effect(servers: list[int]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with announced(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_other_threads_hear_no_signals_and_change_none(servers: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def within() -> None:
        with announced(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is before

    await asyncio.to_thread(asyncio.run, within())
