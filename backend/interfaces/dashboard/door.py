"""The page's own application, and the door to it in front of the API."""

import re
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.core.errors import SquadError
from backend.interfaces.dashboard import (
    errors,
    events,
    graph,
    guards,
    members,
    messages,
    pages,
    sessions,
    squads,
    tasks,
)

ADDRESSES: Final = re.compile(r"/(login|logout|ui(/.*)?)?", re.DOTALL)
ROUTES: Final = [
    route for room in (pages, sessions, events, graph, messages, members, tasks, squads) for route in room.routes
]


def create(state: State) -> ASGIApp:
    """Make the page's application, behind its guard.

    Args:
        state: of the application that it belongs to, with the database, the credentials and the feed.
    """
    page = Starlette(
        routes=ROUTES,
        exception_handlers={
            SquadError: errors.ours,
            SQLAlchemyError: errors.ours,
            404: errors.no_page,
            405: errors.no_method,
            Exception: errors.broken,
        },
    )
    page.router.redirect_slashes = False
    page.state = state
    return guards.Guard(page)  # outside of all, so that a defect's page has the headers too


class Door:
    """Plain ASGI middleware that sends requests for the page to it, and all others on."""

    def __init__(self, app: ASGIApp, page: ASGIApp) -> None:
        self._app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose."""
        ours = scope["type"] == "http" and ADDRESSES.fullmatch(scope["path"])
        await (self._page if ours else self._app)(scope, receive, send)
