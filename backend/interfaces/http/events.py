"""The log over HTTP: page by page, or live as server-sent events."""

from typing import Annotated

from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from agentsquad.schemas import events as schemas
from agentsquad.schemas import limits
from agentsquad.schemas.events import Events
from backend.core.errors import Invalid
from backend.interfaces import streams
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Live, Who, still_known
from backend.interfaces.http.errors import Router
from backend.live.feed import Follower
from backend.operations import events

router = Router(prefix="/squads/{squad}/events", tags=["events"])
After = Annotated[int, Query(ge=0, le=limits.POSITION_MAX)]
Task = Annotated[int | None, Query(ge=1, le=limits.NUMBER_MAX, description="Only events of this task.")]
Kind = Annotated[list[str], Query(max_length=len(schemas.kinds()), description="Only events of these kinds.")]

TEXT = """Also what models say just now: events `step.text` without an id, each a piece of an answer as JSON. `offset`
is how many characters of the answer came before it; 0 begins the answer, also anew. They are kept nowhere and may be
missing; the whole answer is in `step.ended`."""
Text = Annotated[bool, Query(description=TEXT)]


@router.get("", response_model=Events)
async def events_after(
    database: Db,
    actor: Who,
    squad: InSquad,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    task: Task = None,
    kind: Kind = [],  # noqa: B006  (FastAPI copies it)
) -> Response:
    """The events behind a position, in order. Read on after `last`."""
    chosen = {"task": task is not None, "kinds": bool(_known(kind))}
    query = events.after(*(name for name, given in chosen.items() if given))
    body = await database.reads.json(query, actor, squad, after, limit, task, kind)
    return answers.found(body, answers.NO_SQUAD)


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The feed"}},
)
async def events_stream(
    request: Request,
    feed: Live,
    actor: Who,
    squad: InSquad,
    after: After = 0,
    task: Task = None,
    kind: Kind = [],  # noqa: B006  (FastAPI copies it)
    text: Text = False,
    last_event_id: Annotated[str | None, Header(description="What a browser sends when it comes back.")] = None,
) -> Response:
    """The events behind a position as they come, as server-sent events; `Last-Event-ID` goes before `after`."""
    position = after if last_event_id is None else _position(last_event_id)
    kinds = frozenset(_known(kind))
    hears = (lambda said: task in (None, said.task)) if text else None
    return streams.response(
        feed,
        await feed.require(actor, squad),
        lambda channel: Follower(feed, channel, actor, squad, position, task, kinds, hears),
        lambda: still_known(request, actor, squad),
    )


def _known(kinds: list[str]) -> list[str]:
    """Only kinds that there are: a misspelt one would wait for ever."""
    for kind in kinds:
        if kind not in schemas.kinds():
            raise Invalid(f"There is no kind of event {kind[:100]}.", field="query.kind")
    return kinds


def _position(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < len(str(limits.POSITION_MAX)):
        return int(text)
    raise Invalid("The header Last-Event-ID has to be a position of the log.", field="header.last-event-id")
