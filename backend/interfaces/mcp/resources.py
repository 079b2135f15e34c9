"""What a client may show its user beside the tools: the board, a task, the inbox, as JSON."""

import re
from typing import Final

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ReadResourceResult, Resource, ResourceTemplate, TextResourceContents

from agentsquad.schemas import limits
from backend.core.errors import SquadError
from backend.interfaces.mcp import errors
from backend.interfaces.mcp.callers import Caller
from backend.operations import messages, tasks
from backend.operations.access import ME, MemberRef

JSON: Final = "application/json"
BOARD: Final = "squad://board"
INBOX: Final = "squad://inbox"
TASK: Final = "squad://tasks/{number}"
_TASK: Final = re.compile(r"squad://tasks/([1-9][0-9]{0,8})")
LISTED: Final = [
    Resource(uri=BOARD, name="board", description="What is to do, who does it, what ended last.", mime_type=JSON),
    Resource(uri=INBOX, name="inbox", description="Your messages, the newest first.", mime_type=JSON),
]
TEMPLATES: Final = [
    ResourceTemplate(uri_template=TASK, name="task", description="One task, whole.", mime_type=JSON),
]


async def read(caller: Caller, uri: str) -> ReadResourceResult:
    """One of them.

    Raises:
        MCPError: there is none at that address, or not for the caller.
    """
    try:
        await caller.seen()
        body = await _body(caller, uri)
    except SquadError as error:
        raise errors.of_protocol(error) from None
    if body is None:
        raise MCPError(code=INVALID_PARAMS, message="There is no such resource.", data={"uri": uri})
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=JSON, text=body.decode())])


async def _body(caller: Caller, uri: str) -> bytes | None:
    reads = caller.database.reads
    if uri == BOARD:
        return await reads.json(tasks.board, caller.actor, caller.squad)
    if uri == INBOX:
        last, most = limits.POSITION_MAX, limits.PAGE
        return await reads.json(messages.latest, caller.actor, caller.squad, MemberRef.parse(ME), last, most)
    task = _TASK.fullmatch(uri)
    return task and await reads.value(tasks.get, caller.actor, caller.squad, int(task[1]))
