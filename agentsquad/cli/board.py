"""`asq board` and `asq why`."""

import asyncio
import contextlib
from typing import Annotated, Final

import typer
from rich import box
from rich.console import RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agentsquad.cli import words
from agentsquad.cli.running import Answer, console, verb
from agentsquad.cli.tasks import Number
from agentsquad.client import AsyncClient
from agentsquad.schemas.tasks import Board, Card

app = typer.Typer()
COLUMNS: Final = {
    "blocked": ("blocked",),
    "todo": ("todo",),
    "in progress": ("in_progress",),
    "in review": ("in_review",),
    "ended": ("done", "failed", "cancelled"),
}
TOGETHER: Final = 0.1  # seconds in which events are drawn at once


@verb(app, "board")
async def board(
    client: AsyncClient, watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw it as it changes.")] = False
) -> Answer:
    """The board: who does what, and what waits."""
    if not watch:
        found = await client.board()
        return Answer(found, view(found, console().height))
    await _watch(client)
    return Answer(None)


async def _watch(client: AsyncClient) -> None:
    """Redraw the board whenever something happened, until Ctrl-C."""
    found = await client.board()
    screen = console()
    changed = asyncio.Event()

    async def listen() -> None:
        async with contextlib.aclosing(client.feed(found.last)) as events:
            async for _ in events:
                changed.set()

    with Live(view(found, screen.height), console=screen, auto_refresh=False, screen=screen.is_terminal) as live:
        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            while True:
                await changed.wait()
                await asyncio.sleep(TOGETHER)
                changed.clear()
                live.update(view(await client.board(), screen.height), refresh=True)


@verb(app, "why")
async def why(client: AsyncClient, number: Number) -> Answer:
    """What a task waits for, in one sentence."""
    found = await client.why(number)
    return Answer(found, Text(words.plain(found.sentence)))


def view(board: Board, height: int) -> RenderableType:
    """Columns by status, as many cards in each as fit; the newest of what has ended."""
    title = f"{board.name}   position {board.last}{'   paused' if board.paused else ''}"
    drawn = Table(expand=True, box=box.SIMPLE_HEAD, title=title, title_justify="left")
    most = max(height - 6, 5)
    columns = []
    for title, statuses in COLUMNS.items():
        cards = [card for card in board.tasks if card.status in statuses]
        if title == "ended":
            cards.sort(key=lambda card: card.updated_at, reverse=True)
        cut = "+" if any(status in board.more for status in statuses) else ""
        drawn.add_column(f"{title} {len(cards)}{cut}", ratio=1, style=words.STYLES[statuses[0]], overflow="ellipsis")
        more = [Text(f"… {len(cards) - most + 1} more", style="dim")] if len(cards) > most else []
        columns.append([_card(card) for card in cards[: most - len(more)]] + more)
    for row in range(max(map(len, columns))):
        drawn.add_row(*(column[row] if row < len(column) else "" for column in columns))
    return drawn


def _card(card: Card) -> Text:
    """A task in one line: who holds it and for how much longer, or for whom it is."""
    text = Text(f"#{card.number} {words.line(card.title)}", style=words.STYLES[card.status], no_wrap=True)
    if card.holder:
        lease = f" {words.left(card.lease_ends_at)}" if card.lease_ends_at else ""
        text = Text(f"#{card.number} ", style=words.STYLES[card.status], no_wrap=True)
        text.append(f"{card.holder}{lease} ", "bold").append(words.line(card.title))
    elif card.status == "blocked" and card.depends_on:
        text.append(f" ← {' '.join(f'#{number}' for number in card.depends_on)}", "dim")
    return text
