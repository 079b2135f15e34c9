"""Errors as pages: one total table from the error tree to a status and a heading; a sentence with the remedy."""

from typing import Final
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from backend.core import errors, failures
from backend.interfaces.dashboard import pages

TABLE: Final[dict[type[errors.SquadError], tuple[int, str]]] = {
    errors.Invalid: (422, "That can't be taken"),
    errors.TooLarge: (413, "Too large"),
    errors.IdempotencyMismatch: (422, "That can't be taken"),
    errors.Unauthenticated: (401, "Not logged in"),
    errors.Forbidden: (403, "Not allowed"),
    errors.NotFound: (404, "Not there"),
    errors.Conflict: (409, "Not now"),
    errors.AlreadyExists: (409, "There already"),
    errors.AlreadyCreated: (409, "There already"),
    errors.Archived: (409, "Archived"),
    errors.Paused: (409, "Paused"),
    errors.LostClaim: (409, "Too late"),
    errors.Reserved: (409, "Reserved"),
    errors.WrongStatus: (409, "Not now"),
    errors.Overloaded: (503, "Busy"),
    errors.StartError: (503, "Not ready"),
}
NO_PAGE: Final = "There is no such page; go on from your squads."
NO_METHOD: Final = "This address takes no such request; go back and try again."
DEFECT: Final = "The server has a defect; its log says more."
BUSY: Final = 503
STREAM: Final = "text/event-stream"  # who asks for one can't be led elsewhere


async def page(request: Request, error: errors.SquadError) -> Response:
    """An error as a page, or as a notice on the one that is there; who isn't logged in is led to where one logs in."""
    if isinstance(error, errors.Unauthenticated):
        return _to_login(request)
    status, heading = TABLE[type(error)]
    response = await told(request, status, heading, error.detail)
    if status == BUSY:
        response.headers["Retry-After"] = "1"
    return response


async def told(request: Request, status: int, heading: str, sentence: str) -> Response:
    """A sentence, on a page of its own or as a notice."""
    if not pages.wants_fragment(request):
        return await pages.page(request, "error.html", status, heading=heading, sentence=sentence)
    response = await pages.page(request, "notice.html", status, sentence=sentence)
    response.headers.update({"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"})
    return response


def _to_login(request: Request) -> Response:
    """To the log-in, and afterwards back to where one was going."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = f"/login?next={quote(path)}" if request.method == "GET" and path != "/" else "/login"
    if pages.wants_fragment(request) or request.headers.get("accept") == STREAM:
        return PlainTextResponse("Log in again.", 401, {"HX-Redirect": login})
    return RedirectResponse(login, 303)


async def ours(request: Request, error: Exception) -> Response:
    """An error of the tree."""
    if isinstance(error, SQLAlchemyError):
        error = failures.translated(error)
    if not isinstance(error, errors.SquadError):
        raise error
    return await page(request, error)


async def no_page(request: Request, _: Exception) -> Response:
    """No address."""
    return await told(request, 404, "Not there", NO_PAGE)


async def no_method(request: Request, _: Exception) -> Response:
    """An address that takes another method."""
    return await told(request, 405, "Not so", NO_METHOD)


async def broken(request: Request, _: Exception) -> Response:
    """A defect; whoever serves logs it."""
    return await told(request, 500, "A defect", DEFECT)
