"""Logging in and out: by a key, or by a link that works once. The cookie is a key that opens nothing but the page."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agentsquad.schemas import limits
from backend.core.errors import SquadError, Unauthenticated
from backend.interfaces.credentials import BROWSER, Credentials
from backend.interfaces.dashboard import errors, forms, guards, pages
from backend.operations import sessions
from backend.operations.access import Actor, SquadRef
from backend.operations.keys import Pass

COOKIE: Final = "agentsquad"
LASTS: Final = limits.SESSION * 24 * 60 * 60
HOME: Final = "/"
ON: Final = 303


async def actor(request: Request) -> Actor:
    """Whose browser it is.

    Raises:
        Unauthenticated: nobody's, or nobody's any more.
    """
    found: Actor = await request.app.state.credentials.actor(request.cookies.get(COOKIE, ""), BROWSER)
    return found


async def still_open(request: Request, actor: Actor, squad: SquadRef) -> bool:
    """Whether the browser is still logged in, and its user still part of the squad."""
    credentials: Credentials = request.app.state.credentials
    return await credentials.still_open(request.cookies.get(COOKIE, ""), actor, squad, BROWSER)


async def show(request: Request) -> Response:
    """Where one logs in; a link logs in at once where the browser says who led here, else by a button.

    So no other site logs a browser in as somebody else, and what only looks at an address uses no link up.
    """
    link = request.query_params.get("link", "")
    target = own_path(request.query_params.get("next", ""))
    if link and request.method == "GET" and guards.is_meant(request.headers):
        response = await _log_in(request, {"link": link}, target)
        if response.status_code == ON or not await is_known(request):
            return response
    elif link or not await is_known(request):
        return await _form(request, target, link=link)
    return RedirectResponse(target, ON)  # who is logged in already is where it wants to be


async def is_known(request: Request) -> bool:
    """Whether the browser is logged in."""
    try:
        await actor(request)
    except Unauthenticated:
        return False
    return True


async def log_in(request: Request) -> Response:
    """Log in by what the form says."""
    given = await forms.fields(request, forms.ANONYMOUS)
    return await _log_in(request, given, own_path(given.get("next", "")))


async def log_out(request: Request) -> Response:
    """End this browser's log-in."""
    await request.app.state.database.transact(sessions.end, request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", ON)
    response.delete_cookie(COOKIE, secure=_is_secure(request), httponly=True, samesite="strict")
    return response


def own_path(path: str) -> str:
    """Where to go after the log-in: a page of ours, whatever an address asks for."""
    return path if path.startswith("/ui/") and path.isprintable() and "\\" not in path else HOME


async def _log_in(request: Request, given: dict[str, str], target: str) -> Response:
    try:
        made = await _pass(request, given)
    except SquadError as error:
        return await _form(request, target, error=error)
    response = RedirectResponse(target, ON)
    response.set_cookie(
        COOKIE, made.secret, max_age=LASTS, path="/", secure=_is_secure(request), httponly=True, samesite="strict"
    )
    return response


async def _pass(request: Request, given: dict[str, str]) -> Pass:
    """A new log-in, by a link or a key.

    Raises:
        Unauthenticated: neither is good.
        Forbidden: it is a member's token.
    """
    state = request.app.state
    if "link" in given:
        by_link: Pass = await state.database.transact(sessions.exchange, given["link"])
        return by_link
    try:
        who = await state.credentials.actor(given.get("key", "").strip())
    except Unauthenticated:
        raise Unauthenticated("This key is unknown or revoked; look for it in the file `key` of SQUAD_HOME.") from None
    by_key: Pass = await state.database.transact(sessions.begin, who)
    return by_key


async def _form(request: Request, target: str, link: str = "", error: SquadError | None = None) -> Response:
    status = errors.TABLE[type(error)][0] if error else 200
    sentence = error.detail if error else ""
    return await pages.page(request, "login.html", status, next=target, link=link, sentence=sentence)


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


routes = [
    Route("/login", show),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
]
