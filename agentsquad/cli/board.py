"""`asq board` and `asq why`."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from itertools import zip_longest
from typing import Annotated, Final

import typer
from rich import box
from rich.console import Console, Group, RenderableType
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
NARROW: Final = 80  # columns of a screen below which those of the board don't fit beside one another
TOGETHER: Final = 0.1  # seconds in which events are drawn at once


@verb(app, "board")
async def board(
    client: AsyncClient,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw it as it changes, until Ctrl-C.")] = False,
    as_json: bool = False,
) -> AsyncIterator[Answer]:
    """The board: who does what, and what waits."""
    screen = console()
    if not watch:
        found = await client.board()
        yield Answer(found, view(found, screen))
    elif as_json:
        async for found in _boards(client):
            yield Answer(found)
    else:
        with Live(console=screen, auto_refresh=False, screen=screen.is_terminal) as live:
            async for found in _boards(client):
                live.update(view(found, screen), refresh=True)


async def _boards(client: AsyncClient) -> AsyncIterator[Board]:
    """The board, and the board again whenever something has happened; a server that is away is waited for."""
    found = await client.board()
    yield found
    client.patience = math.inf
    async with contextlib.aclosing(client.feed(found.last)) as events:
        async for event in events:
            if event.position > found.last:
                await asyncio.sleep(TOGETHER)
                found = await client.board()
                yield found


@verb(app, "why")
async def why(client: AsyncClient, number: Number) -> Answer:
    """What a task waits for, in one sentence."""
    found = await client.why(number)
    return Answer(found, Text(words.plain(found.sentence)))


def view(board: Board, screen: Console) -> RenderableType:
    """Columns by status, below one another where it is narrow; on a screen as many cards in each as fit."""
    head = Text(f"{board.name}   position {board.last}{'   paused' if board.paused else ''}", no_wrap=True)
    narrow = screen.width < NARROW
    most = (screen.height - 2) // len(COLUMNS) - 1 if narrow else screen.height - 6
    columns = [_column(board, title, max(most, 1) if screen.is_terminal else len(board.tasks)) for title in COLUMNS]
    if narrow:
        return Group(head, *(line for column in columns if len(column) > 1 for line in column))
    drawn = Table(expand=True, box=box.SIMPLE_HEAD)
    for column in columns:
        drawn.add_column(column[0], ratio=1, overflow="ellipsis")
    for cells in zip_longest(*(column[1:] for column in columns), fillvalue=Text()):
        drawn.add_row(*cells)
    return Group(head, drawn)


def _column(board: Board, title: str, most: int) -> list[Text]:
    """A heading and its cards; of what has ended the newest."""
    cards = [card for card in board.tasks if card.status in COLUMNS[title]]
    if title == "ended":
        cards.sort(key=lambda card: card.updated_at, reverse=True)
    cut = "+" if any(status in board.more for status in COLUMNS[title]) else ""
    more = [Text(f"… {len(cards) - most + 1} more", style="dim")] if len(cards) > most else []
    heading = Text(f"{title} {len(cards)}{cut}", "bold", no_wrap=True)
    return [heading, *map(_card, cards[: most - len(more)]), *more]


def _card(card: Card) -> Text:
    """A task in one line: who holds it and for how much longer, or for whom it is."""
    text = Text(
        f"#{card.number} {words.line(card.title)}", words.STYLES[card.status], no_wrap=True, overflow="ellipsis"
    )
    if card.holder:
        lease = f" {words.left(card.lease_ends_at)}" if card.lease_ends_at else ""
        text = Text(f"#{card.number} ", words.STYLES[card.status], no_wrap=True, overflow="ellipsis")
        text.append(f"{card.holder}{lease} ", "bold").append(words.line(card.title))
        text.append(words.reserved(card.paths), "dim")
    elif card.status == "blocked" and card.depends_on:
        text.append(f" ← {' '.join(f'#{number}' for number in card.depends_on)}", "dim")
    return text
