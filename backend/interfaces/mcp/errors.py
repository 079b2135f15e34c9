"""Errors as a tool's answer: one total table from the error tree to what a model should do next."""

import json
from typing import Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, CallToolResult, TextContent
from starlette.responses import JSONResponse

from backend.core import errors
from backend.core.jsons import dumps

_MEND: Final = "Correct the argument that is named and call again."
_LOOK: Final = "Look with get_task or list_tasks, then decide."
NEXT: Final[dict[type[errors.SquadError], str]] = {
    errors.Invalid: _MEND,
    errors.TooLarge: "Send less: put long texts into files and name their paths.",
    errors.IdempotencyMismatch: "Use a new Idempotency-Key for each call.",
    errors.Unauthenticated: "Stop, and tell your user: `asq connect` makes a member token.",
    errors.Forbidden: "Don't try again; if it has to be done, tell its owner with send_message.",
    errors.NotFound: _LOOK,
    errors.Conflict: _LOOK,
    errors.AlreadyExists: "Choose another name.",
    errors.AlreadyCreated: "It is there already; go on.",
    errors.Archived: "Stop: the squad takes no more work.",
    errors.Paused: "Do nothing for now: call wait; the owner can resume.",
    errors.Reserved: "Claim with other paths or other work; else write to the holder, and call wait with `work` false.",
    errors.LostClaim: "Stop working on this task, keep nothing of it, and call claim_task for other work.",
    errors.WrongStatus: _LOOK,
    errors.Overloaded: "Wait a second and call again with the same arguments.",
    errors.StartError: "Wait a minute and call again; if it stays so, tell your user.",
}
BROKEN: Final = {
    "code": "internal",
    "detail": "The server has a defect; its log says more.",
    "next": "Tell your user.",
}
STATUS: Final = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
}  # what the door itself refuses
CHALLENGE: Final = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


def body(error: errors.SquadError) -> dict[str, Any]:
    """An error as data: code, sentence, what there is to say, and what to do next."""
    fields = json.loads(dumps(error.fields))
    return {"code": error.code, "detail": error.detail, **fields, "next": NEXT[type(error)]}


def result(said: dict[str, Any]) -> CallToolResult:
    """An error as a tool's answer, in words and as data."""
    words = f"{said['code']}: {said['detail']} {said['next']}"
    return CallToolResult(content=[TextContent(type="text", text=words)], structured_content=said, is_error=True)


def of_protocol(error: errors.SquadError) -> MCPError:
    """An error where there is no tool that could answer it."""
    said = body(error)
    return MCPError(code=INVALID_PARAMS, message=f"{said['detail']} {said['next']}", data=said)


def response(error: errors.SquadError) -> JSONResponse:
    """An error as the answer to a request that no tool sees: clients show its sentence."""
    said = body(error)
    return refusal(STATUS.get(type(error), 503), f"{said['detail']} {said['next']}", said)


def refusal(status: int, sentence: str, data: dict[str, Any], **headers: str) -> JSONResponse:
    """An error of the protocol, with an HTTP status."""
    content = {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": sentence, "data": data}}
    return JSONResponse(content, status, CHALLENGE.get(status, {}) | headers)
