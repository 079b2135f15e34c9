"""What one sees of the demo: its beats and the log as lines, and below them, in a terminal, the board."""

import asyncio
import contextlib
import io
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agentsquad.cli import board as boards
from agentsquad.client import AsyncClient
from agentsquad.schemas.events import Event
from agentsquad.schemas.tasks import Board
from agentsquad.sentences import sentence
from backend.demo.counting import Counted
from backend.demo.picture import Film

SCREEN: Final = Console(file=io.StringIO(), width=128, height=22, force_terminal=True)  # of the picture
LINES: Final = 9  # of the log in the picture
STYLES: Final = {
    "step.started": "magenta",
    "task.claimed": "cyan",
    "task.completed": "green",
    "task.lapsed": "red",
    "task.failed": "red",
}


class Show:
    """Where the demo is seen.

    Args:
        film: gets a frame of each beat; None for none.
    """

    def __init__(self, film: Film | None = None) -> None:
        self._console = Console(highlight=False, markup=False)
        self._began = time.monotonic()
        self._film = film
        self._lines: list[Text] = []
        self._board: Board | None = None
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._drawn = self._console.is_terminal

    def __enter__(self) -> Self:
        if self._drawn:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, line: str, style: str = "") -> None:
        """A line of what happens."""
        text = Text(f"{time.monotonic() - self._began:5.1f} s  {line}", style=style)
        self._lines.append(text)
        self._console.print(text, soft_wrap=True)

    def beat(self, number: int, line: str) -> None:
        """A line that one shouldn't miss."""
        self.say(f"({number}) {line}", "bold reverse")
        self._shoot()

    def event(self, event: Event, titles: Mapping[int, str]) -> None:
        """A change of the board, as a line; others go without."""
        if style := STYLES.get(event.kind):
            title = titles.get(event.task or 0, "")
            self.say(f"{event.position:>3}  {sentence(event)}  {title}".rstrip(), style)

    def board(self, board: Board) -> None:
        """The board as it is now."""
        self._board = board
        if self._drawn:
            self._live.update(boards.view(board, self._console), refresh=True)
        if self._film and not self._film.frames:
            self._shoot()

    async def ask(self, patience: float | None) -> str:
        """What is typed, up to Enter; nothing without a terminal, or when nobody types for so many seconds."""
        if not sys.stdin.isatty():
            return ""
        loop, typed = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(sys.stdin, typed.set)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await typed.wait()
                    return sys.stdin.readline().strip()
        finally:
            loop.remove_reader(sys.stdin)
        return ""

    def summary(self, counted: Counted, refused: int, report: Path) -> None:
        """What came of it."""
        rows = {
            "tasks": counted.tasks,
            "attempts": counted.attempts,
            "lapsed attempts": counted.lapsed,
            "late results, refused": refused,
            "tasks completed twice": counted.twice,
            "positions": f"1 … {counted.last}, {counted.gaps or 'no'} gaps",
            "seconds": f"{time.monotonic() - self._began:.0f}",
        }
        table = Table(title="Counted from the log", title_justify="left", show_header=False)
        for name, value in rows.items():
            table.add_row(name, str(value))
        self._live.stop()
        self._console.print(table)
        self._console.print(f"The report: {report}", style="bold", soft_wrap=True)

    async def close(self, client: AsyncClient) -> None:
        """What to do next; whoever sits at the terminal may look at the page before it is gone."""
        if sys.stdin.isatty() and self._drawn:
            page = (await client.create_link()).url
            self._console.print(f"The page: {page}  (until you press Enter)", style="bold", soft_wrap=True)
            await self.ask(None)
        self._console.print(
            "Next: `asq serve` starts a server of your own, `asq open` its page; `asq --help` says more."
        )

    def _shoot(self) -> None:
        """A frame of the film: the board, and the last lines."""
        if self._film and self._board:
            board = Panel(boards.view(self._board, SCREEN), title="board", height=SCREEN.height - 4)
            log = Panel(Group(*self._lines[-LINES:]), title="log", height=LINES + 2)
            self._film.shoot(Group(board, log))
