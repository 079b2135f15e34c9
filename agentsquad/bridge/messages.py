"""JSON-RPC messages, one to a line: what the client sends, and what the bridge itself answers."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

Id = str | int
PARSE_ERROR: Final = -32700  # this code and the next two are JSON-RPC's own
INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
NO_ANSWER: Final = -32000  # of those that it leaves to implementations
CANCELLED: Final = "notifications/cancelled"
VERSION: Final = "io.modelcontextprotocol/protocolVersion"  # where a message names its revision, since 2026-07-28


class Refused(Exception):
    """A message that isn't carried, or wasn't answered.

    Args:
        code: JSON-RPC's word for it.
        sentence: what to do about it.
        id: of which request; None where that can't be told.
        reason: the word that the server has for it over HTTP.
    """

    def __init__(self, code: int, sentence: str, id: Id | None = None, reason: str | None = None) -> None:  # noqa: A002  (the field's name)
        super().__init__(sentence)
        self.id = id
        self.error: dict[str, Any] = {"code": code, "message": sentence}
        if reason is not None:
            self.error["data"] = {"code": reason}

    def line(self) -> bytes:
        """The answer that says so."""
        return line({"jsonrpc": "2.0", "id": self.id, "error": self.error})


@dataclass(frozen=True)
class Message:
    """What the client sends: it goes on as it came.

    Args:
        text: all of it.
        method: what it asks for; None for an answer.
        id: by which it is answered; None where no answer is wanted.
        params: what comes with it.
    """

    text: bytes
    method: str | None = None
    id: Id | None = None
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str | None:
        """The protocol's revision, if the message says it itself."""
        meta = self.params.get("_meta")
        found = meta.get(VERSION) if isinstance(meta, dict) else None
        return found if isinstance(found, str) else None

    @property
    def name(self) -> str | None:
        """The tool, prompt or resource that it is about."""
        key = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(self.method or "")
        found = self.params.get(key) if key else None
        return found if isinstance(found, str) else None

    @property
    def calls_tool(self) -> bool:
        """Whether it may change anything."""
        return self.method == "tools/call"

    @property
    def claims(self) -> bool:
        """Whether it asks for a claim."""
        return self.calls_tool and self.name == "claim_task"

    @property
    def cancels(self) -> Id | None:
        """The request that the client takes back with it."""
        found = self.params.get("requestId") if self.method == CANCELLED else None
        return found if _is_id(found) else None


def parse(text: bytes) -> Message:
    """The message on a line.

    Raises:
        Refused: there is none.
    """
    try:
        found = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise Refused(PARSE_ERROR, "This line is no JSON in UTF-8; send one message on each.") from error
    if not isinstance(found, dict):
        raise Refused(INVALID_REQUEST, "This is no JSON-RPC message; send one object on each line.")
    id_, method, params = found.get("id"), found.get("method"), found.get("params")
    if "id" in found and not _is_id(id_):
        raise Refused(INVALID_REQUEST, "The id is neither a text nor a whole number; give one of these.")
    if method is None and ("result" in found or "error" in found):
        return Message(text)
    if not isinstance(method, str):
        raise Refused(INVALID_REQUEST, "A message names its method, which is a text.", id_)
    return Message(text, method, id_, params if isinstance(params, dict) else {})


@dataclass(frozen=True)
class Said:
    """What the server says.

    Args:
        message: all of it.
        text: as it came.
    """

    message: dict[str, Any]
    text: str

    @property
    def answers(self) -> bool:
        """Whether it is the answer, and no notification before it."""
        return "method" not in self.message

    @property
    def result(self) -> dict[str, Any]:
        """The result of a request; empty where it failed."""
        found = self.message.get("result")
        return found if isinstance(found, dict) else {}

    @property
    def complaint(self) -> str | None:
        """The server's own sentence for what it refuses."""
        error = self.message.get("error")
        data = error.get("data") if isinstance(error, dict) else None
        found = data.get("detail") if isinstance(data, dict) else None
        return found if isinstance(found, str) else None

    def to(self, message: Message) -> "Said":
        """The same as the answer to a message, whose id the server may not have read before it refused."""
        if self.message.get("id") == message.id:
            return self
        whole = self.message | {"id": message.id}
        return Said(whole, line(whole).decode())

    def line(self) -> bytes:
        """The same on one line."""
        return self.text.encode() if self.text.isprintable() else line(self.message)


def said(text: str) -> Said | None:
    """What the server says, or None if it is no message."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not {"method", "result", "error"} & found.keys():
        return None
    return Said(found, text)


def line(message: dict[str, Any]) -> bytes:
    """A message on one line."""
    return json.dumps(message, separators=(",", ":")).encode()


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
