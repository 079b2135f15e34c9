"""What can be said about functions and classes, one by one and beside each other."""

import ast
import hashlib
from collections.abc import Iterator

from backend.demo import source
from backend.demo.findings import Finding, ranked

LARGE = 60  # lines; findings begin above each of these
COMPLEX = 10  # ways through
DEEP = 4  # blocks inside one another
PARAMETERS = 7
COPY_LINES = 6  # the least that counts as a copy
COPY_STATEMENTS = 3

_NAMED_COPIES = 3
_MUTABLE = frozenset({"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter"})
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_NESTS = (ast.If, *_LOOPS, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
_SILENT = frozenset({"ctx", "kind", "type_comment"})  # fields that say nothing about meaning


def undocumented(tree: source.Tree) -> list[Finding]:
    """Public functions and classes without a docstring, outside tests and private modules."""
    return [
        Finding(module.file, node.lineno, source.clean(name))
        for module in tree.modules()
        if not module.is_test and not _is_private(module)
        for name, node in _public(module)
        if source.docstring(node) is None
    ]


def large(tree: source.Tree) -> list[Finding]:
    """Functions of many lines."""
    return ranked(
        [
            Finding(module.file, node.lineno, source.clean(name), (lines,))
            for module in tree.modules()
            for name, node in source.functions(module)
            if (lines := _span(node)) > LARGE
        ]
    )


def complex_(tree: source.Tree) -> list[Finding]:
    """Functions with many ways through, or with blocks deep inside one another."""
    found: list[Finding] = []
    for module in tree.modules():
        for name, node in source.functions(module):
            ways, depth = _shape(node)
            if ways > COMPLEX or depth > DEEP:
                found.append(Finding(module.file, node.lineno, source.clean(name), (ways, depth)))
    return ranked(found)


def parameters(tree: source.Tree) -> list[Finding]:
    """Functions that take many arguments."""
    return ranked(
        [
            Finding(module.file, node.lineno, source.clean(name), (count,))
            for module in tree.modules()
            for name, node in source.functions(module)
            if (count := _arguments(node)) > PARAMETERS
        ]
    )


def mutable_defaults(tree: source.Tree) -> list[Finding]:
    """Defaults that all calls of a function share and any of them can change."""
    return [
        Finding(module.file, default.lineno, source.clean(f"{name}({argument}=…)"))
        for module in tree.modules()
        for name, node in source.functions(module)
        for argument, default in _defaults(node.args)
        if _is_mutable(default)
    ]


def copies(tree: source.Tree) -> list[Finding]:
    """Functions whose bodies are equal but for layout, comments and docstring."""
    groups: dict[bytes, list[tuple[str, int, str, int]]] = {}
    for module in tree.modules():
        for name, node in source.functions(module):
            body = node.body[1:] if source.docstring(node) else node.body
            if not body:
                continue
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
            if lines >= COPY_LINES and sum(1 for _ in source.statements(node)) > COPY_STATEMENTS:
                place = module.file, node.lineno, name, lines
                groups.setdefault(_fingerprint(body), []).append(place)
    found: list[Finding] = []
    for (file, line, name, lines), *others in groups.values():
        if others:
            same = ", ".join(f"{other[0]}:{other[1]}" for other in others[:_NAMED_COPIES])
            more = f" and {len(others) - _NAMED_COPIES} more" * (len(others) > _NAMED_COPIES)
            what = source.clean(f"{name} is also at {same}{more}")
            found.append(Finding(file, line, what, (lines * len(others), len(others) + 1)))
    return ranked(found)


def _is_private(module: source.Module) -> bool:
    return any(part.startswith("_") and part != "__main__" for part in module.name.split("."))


def _public(module: source.Module) -> Iterator[tuple[str, ast.ClassDef | source.Function]]:
    """What others may call, with qualified names; what is inside functions is their own."""
    exported = source.exported(module)
    stack: list[tuple[str, ast.AST]] = [("", child) for child in module.syntax.body[::-1]]
    while stack:
        prefix, node = stack.pop()
        if not isinstance(node, ast.ClassDef | source.Function):
            stack += [(prefix, child) for child in reversed(source.children(node))]
            continue
        listed = bool(prefix) or exported is None or node.name in exported
        if node.name.startswith("_") or not listed or _speaks_for_another(node):
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            inside = f"{prefix}{node.name}."
            stack += [(inside, child) for child in reversed(node.body)]


def _speaks_for_another(node: ast.ClassDef | source.Function) -> bool:
    """Overloads, overrides and setters: another function carries their words."""
    names = {getattr(mark, "id", getattr(mark, "attr", "")) for mark in node.decorator_list}
    return not names.isdisjoint({"overload", "override", "setter", "deleter"})


def _span(node: source.Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _shape(function: source.Function) -> tuple[int, int]:
    """Ways through (1 and each branch, loop, handler and case) and the deepest nesting."""
    ways, deepest = 1, 0
    stack: list[tuple[ast.AST, int]] = [(child, 0) for child in function.body]
    while stack:
        node, depth = stack.pop()
        if isinstance(node, ast.ClassDef | source.Function):
            continue  # measured by itself
        ways += _branches(node)
        below = depth + isinstance(node, _NESTS)
        deepest = max(deepest, below)
        stack += [(child, depth if _is_elif(node, child) else below) for child in source.children(node)]
    return ways, deepest


def _branches(node: ast.AST) -> bool:
    if isinstance(node, ast.match_case):
        wildcard = isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None
        return not wildcard or node.guard is not None
    return isinstance(node, (ast.If, *_LOOPS, ast.ExceptHandler))


def _is_elif(node: ast.AST, child: ast.AST) -> bool:
    """`elif` is an `if` in the other's `else`, at the same column."""
    both = isinstance(node, ast.If) and isinstance(child, ast.If)
    return both and getattr(node, "col_offset", 0) == getattr(child, "col_offset", 1)


def _arguments(node: source.Function) -> int:
    """How many arguments a caller may give, `self` and `cls` not counted."""
    positional = [*node.args.posonlyargs, *node.args.args]
    bound = bool(positional) and positional[0].arg in {"self", "cls"}
    return len(positional) - bound + len(node.args.kwonlyargs)


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    yield from zip((one.arg for one in with_default), arguments.defaults, strict=True)
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


def _is_mutable(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        return called in _MUTABLE
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _fingerprint(body: list[ast.stmt]) -> bytes:
    """A digest of what the statements mean: node types, names and constants, no positions."""
    parts: list[str] = []
    stack: list[object] = [*reversed(body)]
    while stack:
        item = stack.pop()
        if isinstance(item, ast.AST):
            parts.append(type(item).__name__)
            fields = [field for field in item._fields if field not in _SILENT]
            stack += [getattr(item, field, None) for field in reversed(fields)]
        elif isinstance(item, list):
            parts.append(f"[{len(item)}]")
            stack += reversed(item)
        elif isinstance(item, int):  # a long one has no decimal form
            parts.append(f"{type(item).__name__} {item:x}")
        else:
            parts.append(repr(item))
    text = "\n".join(parts)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()
