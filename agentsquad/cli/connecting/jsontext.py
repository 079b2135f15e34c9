"""Changing one value in a text of JSON, and leaving every other character as it is."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

Key = str | int
DECODER: Final = json.JSONDecoder()
BLANKS: Final = re.compile(r"[ \t\r\n]*")
STRING: Final = r'("(?:\\.|[^"\\])*")'
COMMENTS: Final = re.compile(STRING + r"|//[^\n]*|/\*.*?\*/", re.DOTALL)
TRAILING: Final = re.compile(STRING + r"|,(?=\s*[}\]])")


@dataclass(frozen=True)
class _Node:
    """A value in the text, and if it holds others, where each of these begins and what it is."""

    start: int
    end: int
    parts: "list[tuple[int, Key, _Node]]"


def lenient(text: str) -> Any:
    """What a text says that may hold comments, and commas before a closing bracket.

    Raises:
        ValueError: it is no JSON even so.
        RecursionError: it is nested too deeply.
    """
    return json.loads(TRAILING.sub(r"\1", COMMENTS.sub(r"\1", text)))


def put(text: str, path: tuple[Key, ...], value: Any) -> str:
    """Set what is at a path; whatever is missing on the way is made. A number past a list's end appends.

    Raises:
        TypeError: something on the way holds nothing else.
    """
    node = _scanned(text)
    for at, key in enumerate(path):
        if text[node.start] != ("[" if isinstance(key, int) else "{"):
            raise TypeError(f"{path[at - 1] if at else 'the whole'} is of another kind")
        part = _part(node, key)
        if part is None:
            for missing in reversed(path[at + 1 :]):
                value = [value] if isinstance(missing, int) else {missing: value}
            return _added(text, node, key, value)
        node = part[2]
    return text[: node.start] + _written(text, value, _indentation(text, node.start)) + text[node.end :]


def drop(text: str, path: tuple[Key, ...]) -> str:
    """Take out what is at a path, with its comma.

    Raises:
        KeyError: it isn't there.
    """
    node = _scanned(text)
    for key in path[:-1]:
        part = _part(node, key)
        if part is None:
            raise KeyError(key)
        node = part[2]
    part = _part(node, path[-1])
    if part is None:
        raise KeyError(path[-1])
    place = node.parts.index(part)
    if len(node.parts) == 1:
        return text[: node.start + 1] + text[node.end - 1 :]
    if place:
        return text[: node.parts[place - 1][2].end] + text[part[2].end :]
    return text[: part[0]] + text[node.parts[1][0] :]


def _part(node: _Node, key: Key) -> tuple[int, Key, _Node] | None:
    """The part of that name; of several the last, as every reader takes it."""
    return next((part for part in reversed(node.parts) if part[1] == key), None)


def _added(text: str, node: _Node, key: Key, value: Any) -> str:
    """The text with one more part in a node, laid out as the part before it."""
    name = "" if isinstance(key, int) else f"{json.dumps(key, ensure_ascii=False)}: "
    if not node.parts:
        base, end = _indentation(text, node.start), _line_end(text)
        inside = text[node.start + 1 : node.end - 1]
        deeper = base + _unit(text)
        after = inside if "\n" in inside else end + base
        new = f"{end}{deeper}{name}{_written(text, value, deeper)}{after}"
        return text[: node.start + 1] + new + text[node.end - 1 :]
    first, _, last = node.parts[-1]
    gap = text[len(text[:first].rstrip(" \t\r\n")) : first]
    if "\n" in gap:
        new = gap + name + _written(text, value, gap.rpartition("\n")[2])
    else:
        new = (gap or " ") + name + json.dumps(value, ensure_ascii=False)
    return f"{text[: last.end]},{new}{text[last.end :]}"


def _written(text: str, value: Any, indentation: str) -> str:
    written = json.dumps(value, ensure_ascii=False, indent=_unit(text))
    return written.replace("\n", _line_end(text) + indentation)


def _unit(text: str) -> str:
    """By how much the text indents."""
    found = re.match(r"\s*\{[ \t]*\r?\n([ \t]+)", text)
    return found[1] if found else "  "


def _indentation(text: str, at: int) -> str:
    """With what the line begins on which something stands."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _scanned(text: str) -> _Node:
    return _node(text, _past_blanks(text, 0))


def _node(text: str, start: int) -> _Node:
    """The value that begins here; the text is known to be JSON."""
    if text[start] not in "{[":
        return _Node(start, DECODER.raw_decode(text, start)[1], [])
    parts: list[tuple[int, Key, _Node]] = []
    at = _past_blanks(text, start + 1)
    while text[at] not in "}]":
        begin, key = at, len(parts)
        if text[start] == "{":
            key, at = DECODER.raw_decode(text, at)
            at = _past_blanks(text, _past_blanks(text, at) + 1)  # a colon
        node = _node(text, at)
        parts.append((begin, key, node))
        at = _past_blanks(text, node.end)
        if text[at] == ",":
            at = _past_blanks(text, at + 1)
    return _Node(start, at + 1, parts)


def _past_blanks(text: str, at: int) -> int:
    found = BLANKS.match(text, at)
    assert found is not None
    return found.end()
