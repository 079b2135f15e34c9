"""Reading a file of a squad line by line: each by itself, in its order, nothing missing and nothing changed.

Synchronous, for a thread, and in bounded memory.
"""

import hashlib
from collections import Counter
from typing import IO, Final

import orjson
from pydantic import ValidationError

from agentsquad.schemas import exports, limits
from agentsquad.schemas.exports import Counts, EventLine, Header, Line, Trailer
from agentsquad.schemas.fields import storable
from backend.core.errors import Invalid
from backend.operations.imports.knowing import Knowing

BATCH: Final = 500  # lines that are read at once
BYTES: Final = 4 << 20  # bytes of them, or one line that is longer
Record = tuple[int, str, str]


def refuse(line: int, sentence: str) -> Invalid:
    """The error of a line."""
    return Invalid(f"Line {line}: {sentence}", field=f"body.{line}", line=line)


class Reading:
    """One file, from its first line to its last."""

    def __init__(self, file: IO[bytes]) -> None:
        self.known = Knowing()
        self.first: dict[str, int] = {}  # line of each kind
        self._header: Header | None = None
        self._trailer: Trailer | None = None
        self._file = file
        self._digest = hashlib.sha256()
        self._number = 0
        self._at = 0  # in the order of kinds
        self._counts: Counter[str] = Counter()

    @property
    def header(self) -> Header:
        """The first line, once it was read."""
        assert self._header is not None
        return self._header

    @property
    def trailer(self) -> Trailer:
        """The last line, once all was read."""
        assert self._trailer is not None
        return self._trailer

    def batch(self) -> list[Record]:
        """The next lines: number, kind and text; none at the end.

        Raises:
            Invalid: a line is wrong, or the file doesn't end as it should.
        """
        found: list[Record] = []
        size = 0
        while len(found) < BATCH and size < BYTES:
            text = self._file.readline(limits.LINE + 1)
            if not text:
                self._end()
                break
            self._number += 1
            size += len(text)
            try:
                found.append((self._number, self._read(text), text[:-1].decode()))
            except ValueError as error:
                raise refuse(self._number, f"{_described(error)}.") from None
        return found

    def _read(self, text: bytes) -> str:
        if self._trailer is not None:
            raise ValueError("nothing comes after the line `end`")
        if not text.endswith(b"\n"):
            raise ValueError(f"at most {limits.LINE} bytes" if len(text) > limits.LINE else "the file is cut off here")
        line = exports.LINE.validate_json(text, strict=True)
        if b"\\u0000" in text:
            storable(orjson.loads(text))
        self._place(line.kind)
        self._take(line)
        self._digest.update(text)
        return line.kind

    def _place(self, kind: str) -> None:
        """Kinds come in their order."""
        at = exports.KINDS.index(kind)
        if at < self._at or (self._number == 1) != (kind == "squad"):
            raise ValueError(f"a line `{kind}` doesn't belong here")
        if at != self._at:
            self._at = at
            self.first[kind] = self._number
            self.known.begin()
        self._counts[kind] += 1

    def _take(self, line: Line) -> None:
        match line:
            case Header():
                self._header = line
            case Trailer():
                self._trailer = line
                if line.sha256 != self._digest.hexdigest():
                    raise ValueError("the file is not as it was exported; its digest is another one")
            case EventLine():
                self.known.event(line.row)
            case _:
                self.known.row(line.row)

    def _end(self) -> None:
        """What only the whole file can tell."""
        if self._trailer is None:
            raise Invalid("The file is cut off: its last line, `end`, is missing.", field="body")
        counted = Counts(**{kind: self._counts[kind] for kind in Counts.model_fields})
        if counted != self._trailer.counts or self._counts["event"] != self.header.last:
            raise refuse(self._number, "lines are missing, or there are more than it says.")
        if not self.known.owner:
            raise refuse(self._number, "no member is the squad's owner.")
        if (number := self.known.circular()) is not None:
            raise refuse(self.first["task"] + number - 1, f"#{number} waits for itself, over others.")
        for what in self.known.differences(self.header):
            raise refuse(self.first["event"], f"the log doesn't tell what the file says {what}.")


def _described(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8"
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "it is no JSON"
    path = ".".join(str(part) for part in first["loc"][1:]) or "the line"
    if first["type"] == "union_tag_invalid":
        return f"{path}: {first['ctx']['tag'][:100]} is no kind that is known"
    return f"{path[:100]}: {first['msg'].removeprefix('Value error, ')}"
