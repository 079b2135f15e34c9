"""What one sees of the demo: board and log, redrawn in a terminal, plain lines without one."""

import os
import re
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agentsquad.schemas.events import Event
from agentsquad.schemas.tasks import Board, Card

COLUMNS: Final = {"blocked": "blocked", "todo": "todo", "in_progress": "in progress", "done": "done"}
STYLES: Final = {"blocked": "dim", "todo": "yellow", "in_progress": "cyan", "done": "green", "failed": "red"}
LINES: Final = 9


class Show:
    """The board and the log of the demo's squad."""

    def __init__(self, folder: Path, picture: Path | None = None) -> None:
        self._console = Console(highlight=False)
        self._folder = folder
        self._picture = picture
        self._log: deque[Text] = deque(maxlen=LINES)
        self._began = time.monotonic()
        self._events = self._lapses = 0
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        self._console.print(f"A squad reviews {self._folder}.", soft_wrap=True, markup=False)
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str, style: str = "bold red") -> None:
        """A line of the log."""
        text = Text(f"{time.monotonic() - self._began:5.1f} s  {line}", style=style)
        self._log.append(text)
        if not self._live:
            self._console.print(text, soft_wrap=True)

    def event(self, event: Event, board: Board) -> None:
        """One change, as a line."""
        self._events += 1
        titles = {card.number: card.title for card in board.tasks}
        what = f"#{event.task} {titles.get(event.task or 0, '')}".strip()
        match event.kind:
            case "task.claimed":
                self.say(f"{event.actor.member} holds {what} (attempt {event.attempt})", "cyan")
            case "task.completed":
                self.say(f"{event.actor.member} completed {what}", "green")
            case "task.lapsed":
                self._lapses += 1
                self.say(f"{what} lapsed: its holder was silent for a whole lease; it is free again", "red")
            case "task.created":
                self.say(f"{event.actor.member} created {what}", "dim")
            case "task.failed":
                self.say(f"{event.actor.member} failed {what}: {event.data.reason}", "red")
            case "member.added":
                self.say(f"{event.data.name} joined as {event.data.role or event.data.kind}", "dim")
            case "task.unblocked":
                self.say(f"{what} is free: what it waited for is done", "dim")
            case "squad.created" | "member.token_created" | "member.token_revoked":
                pass

    def board(self, board: Board) -> None:
        """The board as it is now; drawn in a terminal only."""
        drawn = Group(_columns(board), Panel(Group(*self._log), title="log", height=LINES + 2))
        if self._live:
            self._live.update(drawn, refresh=True)
        if self._picture and self._lapses:
            with Path(os.devnull).open("w") as nowhere:
                console = Console(record=True, width=132, file=nowhere, force_terminal=True)
                console.print(drawn)
                svg = console.export_svg(title="asq demo")
            # Without the web fonts, which a page that shows the picture would fetch.
            self._picture.write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
            self._picture = None

    def summary(self, report: Path, board: Board, seconds: float) -> None:
        """What came of it."""
        attempts = sum(card.attempt for card in board.tasks)
        print_ = self._console.print
        print_()
        print_(
            f"{len(board.tasks)} tasks done in {seconds:.0f} s, {attempts} attempts, {self._lapses} lapsed, ", end=""
        )
        print_(f"{board.last} events at positions 1 to {board.last}.")
        print_(f"The report: {report}", style="bold", soft_wrap=True, markup=False)
        print_("Next: `asq serve` starts a server of your own; README.md says how to work on it.", markup=False)


def _columns(board: Board) -> RenderableType:
    table = Table(expand=True, title=f"squad {board.name}   position {board.last}")
    for status, title in COLUMNS.items():
        table.add_column(Text(title, style=STYLES[status]), ratio=1, no_wrap=True, overflow="ellipsis")
    groups = [[_card(card) for card in board.tasks if card.status == status] for status in COLUMNS]
    for row in range(max(map(len, groups), default=0)):
        table.add_row(*(group[row] if row < len(group) else "" for group in groups))
    return table


def _card(card: Card) -> Text:
    holder = f"{card.holder}: " if card.holder else ""
    return Text(f"#{card.number} {holder}{card.title}", style=STYLES[card.status])
