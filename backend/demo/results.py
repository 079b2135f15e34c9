"""The results that tasks hand on: their shape, their size, and reading them back.

What another member handed in is text from outside: it is narrowed here, once, and what does not
have the shape is no result.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from backend.demo import kinds, source
from backend.demo.findings import Finding

MAX_ROWS = 200
MAX_FILES = 300  # files whose findings are counted one by one
MAX_BYTES = 192 * 1024  # as JSON, well below what a result may have
MAX_SUMMARY = 600

Cell = str | int
Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What one analysis found: the first rows, how many more there are, and how many per file."""

    analysis: str
    summary: str
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    more: int = 0
    files: tuple[tuple[str, int, int], ...] = ()  # with the number of findings, the line of the first

    @property
    def total(self) -> int:
        """All that was found, shown or not."""
        return len(self.rows) + self.more

    def as_json(self) -> dict[str, object]:
        """The shape in which it is handed on."""
        return {
            "analysis": self.analysis,
            "summary": self.summary,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "more": self.more,
            "files": [list(file) for file in self.files],
        }


@dataclass(frozen=True, slots=True)
class Part:
    """A task that was done: who did it, in which attempt, and the result if it has the shape."""

    number: int
    title: str
    role: str
    member: str
    attempt: int
    result: Result | None


def of(kind: kinds.Kind, found: list[Finding], tree: source.Tree) -> Result:
    """The result of an analysis."""
    rows: tuple[Row, ...] = tuple((one.file, one.line, one.what, *one.numbers) for one in found)
    counts = Counter(one.file for one in found)
    lines = {one.file: one.line for one in reversed(found)}
    files = tuple((file, count, lines[file]) for file, count in counts.most_common())
    return fit(
        Result(
            kind.name,
            _summary(kind, found, tree),
            kind.columns,
            rows,
            files=files,
        )
    )


def fit(result: Result) -> Result:
    """The same with as many rows and files as may be handed on."""
    rows, files = result.rows[:MAX_ROWS], result.files[:MAX_FILES]
    while True:
        more = result.more + len(result.rows) - len(rows)
        fitting = replace(result, rows=rows, more=more, files=files)
        if not rows or len(dump(fitting.as_json())) <= MAX_BYTES:
            return fitting
        rows, files = rows[: len(rows) // 2], files[: len(files) // 2]


def dump(value: object) -> str:
    """JSON in ASCII, whatever the terminal can show."""
    return json.dumps(value, ensure_ascii=True)


def part(value: object) -> Part | None:
    """Read a task that was done, or None where the value is none."""
    if not isinstance(value, Mapping):
        return None
    return Part(
        number=_number(value.get("number")),
        title=_text(value.get("title")),
        role=_text(value.get("role")),
        member=_text(value.get("holder")),
        attempt=_number(value.get("attempt")),
        result=result(value.get("result")),
    )


def result(value: object) -> Result | None:
    """Read a result, given as JSON or as the text of it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, Mapping) or not isinstance(value.get("analysis"), str):
        return None
    return Result(
        analysis=_text(value["analysis"]),
        summary=" ".join(str(value.get("summary", "")).split())[:MAX_SUMMARY],
        columns=tuple(_text(cell) for cell in _list(value.get("columns"))),
        rows=tuple(_row(row) for row in _list(value.get("rows")) if _list(row)),
        more=_number(value.get("more")),
        files=tuple(map(_file, _list(value.get("files")))),
    )


def _summary(kind: kinds.Kind, found: list[Finding], tree: source.Tree) -> str:
    modules = "1 module" if len(tree.files) == 1 else f"{len(tree.files):,} modules"
    if kind.name == "parse":
        if not tree.files and not found:
            return "There is no Python in the folder."
        version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        return f"{modules} in {version}, {kind.count(len(found)) if found else 'all readable'}."
    if kind.name == "size" and found:
        lines, code, comments = found[0].numbers
        return f"{lines:,} lines, {code:,} of them code; {comments} % comments and docstrings."
    if not found:
        return "Nothing to measure." if kind.name == "size" else f"No {kind.many}."
    if kind.numbers:
        first, unit = found[0], kind.numbers[0]
        most = f"the first has {first.numbers[0]:,} {unit} (`{first.file}:{first.line}`)"
        return f"{kind.count(len(found))}; {most}."
    files = len({one.file for one in found})
    return f"{kind.count(len(found))} in {'1 file' if files == 1 else f'{files:,} files'}."


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _row(value: object) -> Row:
    return tuple(cell if isinstance(cell, int) else _text(cell) for cell in _list(value))


def _file(value: object) -> tuple[str, int, int]:
    file, count, line = [*_list(value), None, None, None][:3]
    return _text(file), _number(count), _number(line)


def _text(value: object) -> str:
    return "" if value is None else source.clean(str(value))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
