"""What can be said about a whole file: whether it reads, how big it is, what it promises or hides.

An analysis is a function from a tree to its findings. Those of functions are in `functions`, those
of imports in `imports`; `kinds` lists them all.
"""

import ast
import re
from dataclasses import dataclass

from backend.demo import source

# Written so that a search of this project for its own open ends does not stop here.
_MARKER = re.compile(r"\A#++[!:\s]*+(?:TO[D]O|FI[X]ME|X{3}|HA[C]K|BU[G])\b|\b(?:TO[D]O|FI[X]ME)[:(]")
_LOGGED = frozenset({"exception", "print_exc", "print_exception", "format_exc", "exc_info"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One place and what is there; the numbers belong to the columns of its kind."""

    file: str
    line: int
    what: str
    numbers: tuple[int, ...] = ()


@dataclass(slots=True)
class _Size:
    modules: int = 0
    lines: int = 0
    code: int = 0
    comments: int = 0

    def add(self, other: "_Size") -> None:
        self.modules += other.modules
        self.lines += other.lines
        self.code += other.code
        self.comments += other.comments

    def numbers(self) -> tuple[int, int, int]:
        return self.lines, self.code, round(100 * self.comments / max(self.code + self.comments, 1))


def ranked(found: list[Finding]) -> list[Finding]:
    """The biggest first, by the first number."""
    return sorted(found, key=lambda one: (-one.numbers[0], one.file, one.line))


def unreadable(tree: source.Tree) -> list[Finding]:
    """Files and folders that could not be read or parsed."""
    problems = [*tree.problems, *(module.problem for module in tree.modules() if module.problem)]
    return [Finding(one.file, one.line, one.what) for one in problems]


def sizes(tree: source.Tree) -> list[Finding]:
    """Lines, lines of code and the share of comments: the whole, each folder, each module."""
    folders: dict[str, _Size] = {"./": _Size()}
    found: list[Finding] = []
    for module in tree.modules():
        size = _measure(module)
        found.append(Finding(module.file, 1, f"module {source.clean(module.name)}", size.numbers()))
        parts = module.file.split("/")[:-1]
        for folder in ["./", *("/".join(parts[: i + 1]) + "/" for i in range(len(parts)))]:
            folders.setdefault(folder, _Size()).add(size)
    whole = folders.pop("./")
    if not found:
        return []
    found += [
        Finding(folder, 1, f"folder with {size.modules} modules", size.numbers())
        for folder, size in folders.items()
        if size.modules > 1
    ]
    everything = Finding("./", 1, f"everything: {whole.modules} modules", whole.numbers())
    return [everything, *ranked(found)]


def open_ends(tree: source.Tree) -> list[Finding]:
    """Comments that say that something is still to be done."""
    return [
        Finding(module.file, line, source.clean(text.lstrip("#!: \t")))
        for module in tree.modules()
        for line, text in source.comments(module.text)
        if _MARKER.search(text)
    ]


def blind_excepts(tree: source.Tree) -> list[Finding]:
    """Handlers of every error that neither raise nor record what they caught."""
    return [
        Finding(module.file, node.lineno, source.clean(f"{blind} in {scope or 'the module'}"))
        for module in tree.modules()
        for scope, node in source.scoped(module)
        if isinstance(node, ast.ExceptHandler) and (blind := _blind(node))
    ]


def _measure(module: source.Module) -> _Size:
    lines = module.lines
    remarks = {n for n, _ in source.comments(module.text) if lines[n - 1].lstrip()[:1] == "#"}
    for node in (module.syntax, *source.statements(module.syntax)):
        text = source.docstring(node)
        if text is not None:
            remarks.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    filled = {number for number, line in enumerate(lines, 1) if line.strip()}
    return _Size(1, len(lines), len(filled - remarks), len(filled & remarks))


def _blind(handler: ast.ExceptHandler) -> str:
    """How a handler begins that passes over any error, or ''."""
    caught = _caught(handler.type)
    inside = [node for statement in handler.body for node in source.nodes(statement)]
    if caught is None or any(isinstance(node, ast.Raise) for node in inside):
        return ""
    if caught and any(_records(node, handler.name) for node in inside):
        return ""
    return f"except {caught}" if caught else "bare except"


def _caught(type_: ast.expr | None) -> str | None:
    """Which catch-all a handler names: '' for a bare one, None where it names its errors."""
    if type_ is None:
        return ""
    named = type_.elts if isinstance(type_, ast.Tuple) else [type_]
    names = {node.id for node in named if isinstance(node, ast.Name)}
    return next((name for name in ("BaseException", "Exception") if name in names), None)


def _records(node: ast.AST, name: str | None) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in _LOGGED
    if isinstance(node, ast.keyword):
        return node.arg == "exc_info"
    return isinstance(node, ast.Name) and node.id in {name, *_LOGGED}
