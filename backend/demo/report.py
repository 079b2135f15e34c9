"""Putting results together: where to start, and the report that a person reads."""

from collections import defaultdict
from collections.abc import Iterable

from backend.demo import kinds, results
from backend.demo.results import Cell, Part, Result

SHOWN = 25  # rows of a table
TOP = 15  # files to start with

_TOLD = 3  # kinds named beside a file to start with
_MENTIONED = 4  # files named below a table that was cut
_SUMMARY = (
    ("Read", ("parse", "size")),
    ("Structure", ("cycles", "copies", "unused")),
    ("Functions", ("large", "complex", "parameters")),
    ("Care", ("excepts", "defaults", "undocumented", "open_ends")),
    ("Start with", (kinds.HOTSPOTS,)),
)
_MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#~"})


def hotspots(parts: Iterable[Part]) -> Result:
    """Rank files by how many kinds of finding point to them, then by how many findings."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    places: dict[str, int] = {}
    for part in parts:
        kind = kinds.BY_NAME.get(part.result.analysis) if part.result else None
        if part.result is None or kind is None or kind.name in {"parse", "size"}:
            continue
        for file, count, line in part.result.files:
            found[file][kind.name] = count
            places.setdefault(file, line)
    ranking = sorted(found, key=lambda file: (-len(found[file]), -sum(found[file].values()), file))
    rows: tuple[results.Row, ...] = tuple(
        (file, places[file], _told(found[file]), len(found[file]), sum(found[file].values())) for file in ranking
    )
    summary = "No file stands out."
    if rows:
        first = found[ranking[0]]
        of_kinds = "1 kind" if len(first) == 1 else f"{len(first)} kinds"
        following = " and ".join(f"`{file}`" for file in ranking[1:3])
        summary = f"`{ranking[0]}` ({of_kinds} of finding, {sum(first.values()):,} in all)"
        summary += f", then {following}." if following else "."
    return results.fit(Result(kinds.HOTSPOTS, summary, kinds.HOTSPOT_COLUMNS, rows))


def markdown(folder: str, parts: list[Part]) -> str:
    """The whole report, with as many rows as a result may hold."""
    shown = SHOWN
    while True:
        text = _document(folder, parts, shown)
        if len(results.dump(text)) <= results.MAX_BYTES or not shown:
            return text
        shown //= 2


def summary(text: str) -> str:
    """Of a report only the summary, where to start, and who did which part."""
    title, *sections = text.split("\n## ")
    wanted = ("Summary\n", "Where to start\n", "Who did which part\n")
    return "\n## ".join([title, *(section for section in sections if section.startswith(wanted))])


def _document(folder: str, parts: list[Part], shown: int) -> str:
    by_name = {part.result.analysis: part.result for part in parts if part.result}
    blocks = [f"# Review of {_code(folder.rstrip('/').rpartition('/')[2] or folder)}"]
    blocks.append(f"Everything Python in {_code(folder)}; files are named from there.")
    blocks += ["## Summary", _summary(by_name)]
    first = by_name.get(kinds.HOTSPOTS)
    if first and first.total:
        rule = "Files by how many kinds of finding point to them; the line is that of one finding."
        blocks += _section("Where to start", rule, first, min(TOP, shown))
    nothing: list[str] = []
    for kind in kinds.KINDS:
        result = by_name.get(kind.name)
        if result is None:
            blocks += [f"## {_head(kind.many)}", "No result was handed in."]
        elif result.total:
            title = "Sizes" if kind.name == "size" else f"{_head(kind.many)}: {result.total:,}"
            blocks += _section(title, kind.rule, result, shown)
        else:
            nothing.append(kind.many)
    if nothing:
        blocks += ["## Looked for and not found", "\n".join(f"- {_head(one)}" for one in nothing)]
    blocks += ["## Who did which part", *_who(parts)]
    return "\n\n".join(blocks) + "\n"


def _summary(by_name: dict[str, Result]) -> str:
    lines = []
    for head, names in _SUMMARY:
        said = [by_name[name].summary for name in names if name in by_name]
        text = " ".join(said).replace("<", "&lt;") or "No result was handed in."
        lines.append(f"- **{head}:** {text}")
    return "\n".join(lines)


def _section(title: str, rule: str, result: Result, shown: int) -> list[str]:
    rows = result.rows[:shown]
    blocks = [f"## {title}", rule, _table(result.columns, rows)]
    more = result.total - len(rows)
    if more:
        most = ", ".join(f"{_code(file)} {n:,}" for file, n, _ in result.files[:_MENTIONED] if n > 1)
        blocks.append(f"And {more:,} more." + (f" Most are in {most}." if most else ""))
    return blocks


def _who(parts: list[Part]) -> list[str]:
    members = {part.member for part in parts if part.member}
    again = sum(part.attempt > 1 for part in parts)
    tasks = f"{len(parts)} {'task' if len(parts) == 1 else 'tasks'}"
    hands = f"{len(members)} {'member' if len(members) == 1 else 'members'}"
    tries = f"{again} of the tasks at a later attempt than the first" if again else "no second try"
    rows = "\n".join(
        f"| #{part.number} | {_plain(part.title)} | {_plain(part.role)} "
        f"| {_plain(part.member or 'unknown')} | {part.attempt} |"
        for part in sorted(parts, key=lambda part: part.number)
    )
    head = "| task | title | role | member | attempt |\n| ---: | --- | --- | --- | ---: |"
    return [f"{tasks} by {hands}, {tries}.", f"{head}\n{rows}".rstrip()]


def _table(columns: tuple[str, ...], rows: tuple[results.Row, ...]) -> str:
    first = rows[0] if rows else ()
    marks = ["---:" if isinstance(cell, int) else "---" for cell in first]
    marks += ["---"] * (len(columns) - len(marks))
    lines = [
        f"| {' | '.join(_plain(column) for column in columns)} |",
        f"| {' | '.join(marks[: len(columns)])} |",
        *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows),
    ]
    return "\n".join(lines)


def _told(counts: dict[str, int]) -> str:
    most = sorted(counts, key=lambda name: -counts[name])
    told = [kinds.BY_NAME[name].count(counts[name]) for name in most[:_TOLD]]
    rest = len(most) - len(told)
    if rest:
        told.append("1 more kind" if rest == 1 else f"{rest} more kinds")
    return ", ".join(told)


def _head(words: str) -> str:
    return words[:1].upper() + words[1:]


def _cell(cell: Cell) -> str:
    return f"{cell}" if isinstance(cell, int) else _code(cell)


def _code(text: str) -> str:
    """A code span: within it only its own mark and the table's bar mean anything."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""


def _plain(text: str) -> str:
    return " ".join(text.split()).translate(_MARKDOWN)
