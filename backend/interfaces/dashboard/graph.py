"""The graph of dependencies, drawn on the server."""

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentsquad.schemas.tasks import Board, Card
from backend.interfaces.dashboard import layout, visits
from backend.interfaces.dashboard.layout import Layout
from backend.operations import tasks

LARGE: Final = 100  # tasks from which on only the unfinished ones and their neighbours are drawn
MOST: Final = 250  # tasks that are drawn at all
ENDED: Final = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: the tasks, where they stand, and which edges lead from a part to its whole."""

    cards: list[Card]
    layout: Layout
    parts: frozenset[tuple[int, int]]
    left_out: int


async def graph(request: Request) -> Response:
    """The board as a graph."""
    visitor = await visits.visitor(request)
    setting = await visits.setting(visitor)
    board = Board.model_validate_json(await visitor.read(tasks.board))
    size = (layout.WIDTH, layout.HEIGHT)
    drawing = await asyncio.to_thread(drawn, board.tasks)  # tenths of a second for a board full of edges
    return await visits.page(visitor, setting, "graph.html", drawing=drawing, size=size)


def drawn(cards: list[Card]) -> Drawing:
    """All of a small board; of a large one what is unfinished and what that waits for."""
    chosen = _chosen(cards)
    numbers = {card.number for card in chosen}
    edges = {(other, card.number) for card in chosen for other in card.depends_on if other in numbers}
    whole = ((card.number, card.parent) for card in chosen if card.parent is not None and card.parent in numbers)
    parts = frozenset((part, parent) for part, parent in whole if (part, parent) not in edges)
    laid_out = layout.laid_out((card.number for card in chosen), edges | parts)
    return Drawing(chosen, laid_out, parts, len(cards) - len(chosen))


def _chosen(cards: list[Card]) -> list[Card]:
    if len(cards) <= LARGE:
        return cards
    unfinished = [card for card in cards if card.status not in ENDED]
    wanted = {card.number for card in unfinished} | {other for card in unfinished for other in card.depends_on}
    return [card for card in cards if card.number in wanted][:MOST]


routes = [Route("/ui/{squad}/graph", graph)]
