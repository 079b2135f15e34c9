"""Adding a table to a text of TOML and taking it out again, and leaving every other character as it is."""

import itertools
import json
import re
from typing import Any, Final

HEADER: Final = re.compile(r"[ \t]*\[+([^\[\]#]+)\]+[ \t]*(#.*)?\r?\n?")
LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
QUIET: Final = re.compile(r"[ \t]*(#.*)?\r?\n?")  # a line that says nothing


def added(text: str, path: tuple[str, ...], table: dict[str, Any]) -> str:
    """The text with a table at its end; a blank line stands before it, and its last line ends as the text did."""
    end = "\r\n" if "\r\n" in text else "\n"
    block = end.join([f"[{'.'.join(path)}]", *(f"{name} = {_value(value)}" for name, value in table.items())])
    if not text.strip():
        return text + block + end
    return text + end + block + (end if text.endswith("\n") else "")


def without(text: str, path: tuple[str, ...], inner: tuple[str, ...] | None = None) -> str:
    """The text without a table, and the blank line before it.

    Args:
        text: what holds it.
        path: of the table.
        inner: which of the tables in it go as well; by default all.
    """
    lines = LINE.findall(text)
    begins = [at for at, line in enumerate(lines) if HEADER.fullmatch(line)] + [len(lines)]
    gone: set[int] = set()
    for begin, after in itertools.pairwise(begins):
        name = _name(lines[begin])
        if name[: len(path)] != path or (len(name) > len(path) and inner is not None and name[len(path)] not in inner):
            continue
        end = after
        while end > begin + 1 and QUIET.fullmatch(lines[end - 1]):
            end -= 1  # what stands before the next table is that one's
        first = begin - 1 if begin and not lines[begin - 1].strip() else begin
        gone.update(range(first, end))
        if 0 < first == begin and not lines[end - 1].endswith("\n"):
            lines[begin - 1] = lines[begin - 1].rstrip("\r\n")
    return "".join(line for at, line in enumerate(lines) if at not in gone)


def _name(header: str) -> tuple[str, ...]:
    """The path in a header; quotes around a part don't change it."""
    found = HEADER.fullmatch(header)
    assert found is not None
    return tuple(part.strip().strip("\"'") for part in found[1].split("."))


def _value(value: Any) -> str:
    """A value as TOML: as in JSON, but for tables and one character."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(name)} = {_value(each)}' for name, each in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
