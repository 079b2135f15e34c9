"""The log, a sentence for each event, newest first; and the stream that tells a page that there is news.

The page of a task is also told what is being written there, since no page that is asked for again shows that.
"""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentsquad.schemas import limits
from agentsquad.schemas.events import Events
from backend.interfaces import streams
from backend.interfaces.dashboard import sessions, visits
from backend.live.feed import Feed, Follower, Told
from backend.operations import events

ALIVE: Final = b"event: alive\ndata:\n\n"  # a comment would keep the connection, and tell the page nothing


async def feed(request: Request) -> Response:
    """The events before a position, or the last ones."""
    visitor = await visits.visitor(request)
    setting = await visits.setting(visitor)
    before = min(visits.position(request, "before") or limits.POSITION_MAX, setting.position + 1)
    after = max(0, before - 1 - limits.PAGE)
    shown = Events.model_validate_json(await visitor.read(events.after(), after, limits.PAGE))
    listed = [event for event in reversed(shown.items) if event.position < before]
    older = after + 1 if after else None
    return await visits.page(
        visitor, setting, "feed.html", events=listed, older=older, newest=before > setting.position
    )


async def stream(request: Request) -> Response:
    """That there is news, and up to which position; the page asks for itself again."""
    visitor = await visits.visitor(request)
    live: Feed = request.app.state.feed
    squad = await live.require(visitor.actor, visitor.squad)
    came_back = request.headers.get("last-event-id", "")
    after = visits.whole(came_back) or visits.position(request, "after")
    task = visits.position(request, "task")
    return streams.response(
        live,
        squad,
        lambda channel: Follower(
            live,
            channel,
            visitor.actor,
            visitor.squad,
            min(after, squad["position"]),
            hears=(lambda said: said.task == task) if task else None,
        ),
        lambda: sessions.still_open(visitor.request, visitor.actor, visitor.squad),
        wire=news,
        alive=ALIVE,
    )


def news(told: Sequence[Told]) -> bytes:
    """That something happened, up to the last of these."""
    last = told[-1].position
    return b"id: %d\nevent: news\ndata: %d\n\n" % (last, last)


routes = [Route("/ui/{squad}/feed", feed), Route("/ui/{squad}/stream", stream)]
