"""What can be said about imports: who imports whom in a ring, and what nobody uses."""

import ast
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from backend.demo import source
from backend.demo.findings import Finding

Graph = dict[str, dict[str, int]]  # importer -> imported -> line of the import

_SHOWN = 8  # modules of a ring that are written out
_TRIED = 50  # starting points among which the shortest ring is looked for
_WORD = re.compile(r"[^\W\d]\w*")
_TYPE_COMMENT = re.compile(r"#\s*type:|#.*\bnoqa\b")
_LONGEST_NAME = 200  # a string beyond this is prose and names nothing


@dataclass(frozen=True, slots=True)
class _Import:
    bound: str
    shown: str
    line: int


def cycles(tree: source.Tree) -> list[Finding]:
    """Rings of modules that import each other while they are imported.

    Imports for the type checker, inside functions and under `__main__` do not count: they run
    later or never.
    """
    files: dict[str, str] = {}
    wanted: dict[str, list[tuple[str, str, int]]] = {}
    for module in tree.modules():
        if module.name not in files:
            files[module.name] = module.file
            wanted[module.name] = list(_wanted(module))
    graph: Graph = {name: {} for name in files}
    for name, imports in wanted.items():
        for base, attribute, line in imports:
            target = _resolve(name, base, attribute, files)
            if target and target != name:
                graph[name].setdefault(target, line)
    found: list[Finding] = []
    for component in components(graph):
        ring = _ring(graph, component)
        shown = [*ring[:_SHOWN], *["…"] * (len(ring) > _SHOWN), ring[0]]
        what = source.clean(" → ".join(shown))
        line = graph[ring[0]][ring[1 % len(ring)]]
        found.append(Finding(files[ring[0]], line, what, (len(component),)))
    return sorted(found, key=lambda one: (-one.numbers[0], one.file))


def unused(tree: source.Tree) -> list[Finding]:
    """Module-level imports whose name nothing in the file uses and no other file takes from it.

    In doubt a name is used: packages' `__init__`, `__all__`, `import x as x`, an import that is
    tried or comes from a private twin (`io` takes from `_io` to offer it), a `noqa`, and a name in
    a short string all count for it.
    """
    candidates: list[tuple[str, str, _Import]] = []
    taken: set[tuple[str, str]] = set()
    for module in tree.modules():
        for node in source.statements(module.syntax):
            if isinstance(node, ast.ImportFrom):
                base = _base(module.name, module.is_package, node)
                taken |= {(base, alias.name) for alias in node.names}
        taken |= _attributes(module)
        if module.is_package or module.file.endswith("conftest.py"):
            continue
        imports = list(_bindings(module))
        if imports:
            used = _used(module)
            excused = {n for n, text in source.comments(module.text) if _TYPE_COMMENT.match(text)}
            candidates += [
                (module.name, module.file, one) for one in imports if one.bound not in used and one.line not in excused
            ]
    return [
        Finding(file, one.line, source.clean(one.shown))
        for name, file, one in candidates
        if taken.isdisjoint({(name, one.bound), (name, "*"), (_last(name), one.bound)})
    ]


def components(graph: Graph) -> list[list[str]]:
    """The sets of more than one node that all reach each other (Tarjan, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: dict[str, None] = {}
    found: list[list[str]] = []
    for root in graph:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        open_[root] = None
        path = [(root, iter(graph[root]))]
        while path:
            node, successors = path[-1]
            successor = next(successors, None)
            if successor is None:
                path.pop()
                if path:
                    above = path[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    found.append(_close(open_, node))
            elif successor not in index:
                index[successor] = low[successor] = len(index)
                open_[successor] = None
                path.append((successor, iter(graph[successor])))
            elif successor in open_:
                low[node] = min(low[node], index[successor])
    return [component for component in found if len(component) > 1]


def _close(open_: dict[str, None], node: str) -> list[str]:
    component: list[str] = []
    while not component or component[-1] != node:
        component.append(open_.popitem()[0])
    return sorted(component)


def _ring(graph: Graph, component: list[str]) -> list[str]:
    """The shortest way round, from one of the component's nodes back to itself."""
    inside = set(component)
    rings = (_way_back(graph, inside, start) for start in component[:_TRIED])
    return min(rings, key=len)


def _way_back(graph: Graph, inside: set[str], start: str) -> list[str]:
    came: dict[str, str] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for successor in graph[node]:
            if successor == start:
                way = [node]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return way[::-1]
            if successor in inside and successor not in came:
                came[successor] = node
                queue.append(successor)
    return [start]


def _wanted(module: source.Module) -> Iterator[tuple[str, str, int]]:
    """What a module imports while it is imported: base, name taken from it or '', line."""
    stack: list[ast.AST] = source.children(module.syntax)[::-1]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = _base(module.name, module.is_package, node)
            for alias in node.names:
                yield base, alias.name, node.lineno
        elif isinstance(node, ast.If) and _runs_elsewhere(node.test):
            stack += node.orelse[::-1]
        elif not isinstance(node, source.Function):
            stack += source.children(node)[::-1]


def _runs_elsewhere(test: ast.expr) -> bool:
    """`if TYPE_CHECKING` and `if __name__ == "__main__"`."""
    if isinstance(test, ast.Compare):
        return isinstance(test.left, ast.Name) and test.left.id == "__name__"
    return "TYPE_CHECKING" in {getattr(test, "id", ""), getattr(test, "attr", "")}


def _base(name: str, is_package: bool, node: ast.ImportFrom) -> str:
    """The absolute name of what stands behind `from`."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _resolve(importer: str, base: str, attribute: str, files: dict[str, str]) -> str:
    """The tree's own module that an import means, or ''.

    The packages on the way to it are not counted: they are there before what they hold is asked
    for. A script finds its neighbours by their bare names.
    """
    beside = importer.rpartition(".")[0]
    for start in (base, f"{beside}.{base}" if beside and beside not in files else base):
        for name in (f"{start}.{attribute}" if attribute else start, start):
            if name in files:
                return name
    parent = base.rpartition(".")[0]
    return parent if not attribute and parent in files else ""


def _bindings(module: source.Module) -> Iterator[_Import]:
    offered = {"__future__", f"_{_last(module.name)}"}
    for node in _unconditional(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname != alias.name:
                    bound = alias.asname or alias.name.partition(".")[0]
                    shown = alias.name + (f" as {alias.asname}" if alias.asname else "")
                    yield _Import(bound, shown, alias.lineno)
        elif isinstance(node, ast.ImportFrom) and _last(node.module or "") not in offered:
            for alias in node.names:
                if alias.name not in {"*", alias.asname}:
                    shown = f"{alias.name} from {'.' * node.level}{node.module or ''}"
                    yield _Import(alias.asname or alias.name, shown, alias.lineno)


def _unconditional(module: source.Module) -> Iterator[ast.AST]:
    """The statements of a module, those under `if TYPE_CHECKING` too, but nothing that is tried."""
    for node in module.syntax.body:
        if isinstance(node, ast.If) and _runs_elsewhere(node.test):
            yield from node.body
        else:
            yield node


def _attributes(module: source.Module) -> set[tuple[str, str]]:
    """What is taken with a dot: (`machinery`, `ModuleSpec`) for `importlib.machinery.ModuleSpec`."""
    return {
        (getattr(node.value, "id", getattr(node.value, "attr", "")), node.attr)
        for node in source.nodes(module.syntax)
        if isinstance(node, ast.Attribute)
    }


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _used(module: source.Module) -> set[str]:
    """Every name that could mean an import: in code, arguments, short strings and doctests."""
    used: set[str] = set()
    for node in source.nodes(module.syntax):
        if isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.arg):
            used.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_name = len(node.value) <= _LONGEST_NAME and "\n" not in node.value
            if is_name or ">>>" in node.value:
                used.update(_WORD.findall(node.value))
    for _, text in source.comments(module.text):
        if _TYPE_COMMENT.match(text):
            used.update(_WORD.findall(text))
    return used
