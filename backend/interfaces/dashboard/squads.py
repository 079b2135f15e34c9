"""One's squads, a squad's board, and letting it pause."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agentsquad.schemas import limits
from agentsquad.schemas.members import PauseNew
from agentsquad.schemas.squads import Squad, Squads
from agentsquad.schemas.tasks import Board, Card, Status
from backend.interfaces.dashboard import forms, pages, sessions, visits
from backend.operations import squads, tasks

# The columns: their names, and the statuses in them, in this order.
COLUMNS: Final[dict[str, tuple[Status, ...]]] = {
    "Blocked": ("blocked",),
    "Todo": ("todo",),
    "In progress": ("in_progress",),
    "In review": ("in_review",),
    "Done": ("failed", "done", "cancelled"),
}
NEWEST_FIRST: Final = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the board: its cards by status, and whether there are more than are shown."""

    name: str
    groups: dict[Status, list[Card]]
    more: bool

    @property
    def cards(self) -> int:
        """How many cards it shows."""
        return sum(map(len, self.groups.values()))

    @property
    def count(self) -> int:
        """How many of them are what the column is for: what failed or was cancelled is counted apart."""
        return len(self.groups["done"]) if "done" in self.groups else self.cards


def columns(board: Board) -> list[Column]:
    """The board as people see it."""
    by_status: dict[str, list[Card]] = {}
    for card in board.tasks:
        by_status.setdefault(card.status, []).append(card)
    for status, cards in by_status.items():
        if status in NEWEST_FIRST:
            cards.sort(key=lambda card: card.updated_at, reverse=True)
        else:
            cards.sort(key=lambda card: (card.priority, card.number))
    return [
        Column(name, {status: by_status.get(status, []) for status in statuses}, any(s in board.more for s in statuses))
        for name, statuses in COLUMNS.items()
    ]


def waits(board: Board) -> dict[int, list[int]]:
    """Of each blocked card the tasks that it waits for. What is unfinished is on the board, so the rest is done."""
    unfinished = {card.number for card in board.tasks if card.status != "done"}
    found: dict[int, list[int]] = {}
    for card in board.tasks:
        if card.blocked_on == "dependencies":
            found[card.number] = [number for number in card.depends_on if number in unfinished]
        if card.parent is not None and card.status not in NEWEST_FIRST:
            found.setdefault(card.parent, []).append(card.number)
    return {card.number: found.get(card.number, []) for card in board.tasks if card.status == "blocked"}


async def index(request: Request) -> Response:
    """One's squads; who has one only goes there."""
    who = await sessions.actor(request)
    reads = request.app.state.database.reads
    listed = [
        Squads.model_validate_json(await reads.json(squads.page, who, "", limits.PAGE_MAX, archived)).items
        for archived in (False, True)
    ]
    if len(listed[0]) == 1 and not listed[1]:
        return RedirectResponse(f"/ui/{address(listed[0][0], listed[0])}", 303)
    every = [*listed[0], *listed[1]]
    named = [[(squad, address(squad, every)) for squad in group] for group in listed]
    return await pages.page(request, "squads.html", active=named[0], archived=named[1])


def address(squad: Squad, among: list[Squad]) -> str:
    """A squad's name in addresses, or its id where several have that name."""
    names = [other.name for other in among]
    return quote(squad.name, safe="") if names.count(squad.name) == 1 else str(squad.id)


async def board(request: Request) -> Response:
    """The board, as columns."""
    visitor = await visits.visitor(request)
    setting = await visits.setting(visitor)
    shown = Board.model_validate_json(await visitor.read(tasks.board))
    return await visits.page(visitor, setting, "board.html", columns=columns(shown), waits=waits(shown))


async def pause(request: Request) -> Response:
    """Let nobody claim anything."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    return await visitor.write(squads.pause, PauseNew(now="now" in given))


async def resume(request: Request) -> Response:
    """Let it go on."""
    visitor = await visits.visitor(request)
    return await visitor.write(squads.resume)


routes = [
    Route("/", index),
    Route("/ui/{squad}", board),
    Route("/ui/{squad}/pause", pause, methods=["POST"]),
    Route("/ui/{squad}/resume", resume, methods=["POST"]),
]
