"""Log-ins of browsers over HTTP: the link that begins one. The rest is the page's own."""

from fastapi import Request

from agentsquad.schemas.users import Link
from backend.interfaces.http.dependencies import Writes
from backend.interfaces.http.errors import Router
from backend.operations import sessions

router = Router(tags=["keys"])


@router.post("/links", status_code=201)
async def sessions_create_link(request: Request, writer: Writes) -> Link:
    """Make an address that logs a browser in as oneself: once, within a minute."""
    made = await writer.result(sessions.create_link)
    return Link(url=f"{request.base_url}login?link={made.secret}", expires_at=made.expires_at)
