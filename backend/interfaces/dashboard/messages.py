"""The inbox: questions to oneself, one's messages, and sending one."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentsquad.schemas import limits
from agentsquad.schemas.messages import AcknowledgeNew, Inbox, MessageNew, ReadNew
from backend.interfaces.dashboard import forms, visits
from backend.operations import messages
from backend.operations.access import ME, MemberRef

MINE: Final = MemberRef(None, ME)
EVERYBODY: Final = "*"  # no member's name


async def inbox(request: Request) -> Response:
    """Questions first, then the newest messages and all older ones that are unread, oldest first."""
    visitor = await visits.visitor(request)
    before = visits.position(request, "before") or limits.POSITION_MAX
    setting = await visits.setting(visitor)
    latest = Inbox.model_validate_json(await visitor.read(messages.latest, MINE, before, limits.PAGE))
    unread = Inbox.model_validate_json(await visitor.read(messages.inbox("unread"), MINE, 0, limits.PAGE_MAX))
    shown = {message.position: message for message in (*unread.items, *latest.items)}
    return await visits.page(
        visitor,
        setting,
        "inbox.html",
        messages=[shown[position] for position in sorted(shown)],
        older=latest.next,
        everybody=EVERYBODY,
    )


async def send(request: Request) -> Response:
    """Send a message, to a member or to all."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    to = given.get("to", EVERYBODY)
    whom: dict[str, object] = {"all": True} if to == EVERYBODY else {"to": to}
    new = forms.schema(MessageNew, body=given.get("body", ""), **whom)
    return await visitor.write(messages.send, new, to="/inbox")


async def mark_read(request: Request) -> Response:
    """Everything up to a message was read."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    read = forms.schema(ReadNew, up_to=visits.whole(given.get("position", "")))
    return await visitor.write(messages.mark_read, ME, read, to="/inbox")


async def acknowledge(request: Request) -> Response:
    """A message was taken care of."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    done = forms.schema(AcknowledgeNew, messages=[visits.whole(given.get("position", ""))])
    return await visitor.write(messages.acknowledge, ME, done, to="/inbox")


routes = [
    Route("/ui/{squad}/inbox", inbox),
    *(
        Route(f"/ui/{{squad}}/inbox/{action.__name__}", action, methods=["POST"])
        for action in (send, mark_read, acknowledge)
    ),
]
