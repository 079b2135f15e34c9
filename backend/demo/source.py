"""Reading a folder of Python source: which files there are, and each of them parsed.

Modules come one at a time, so that a big tree costs the memory of one module. Nothing a file holds
may stop the reading: what cannot be read becomes a `Problem` and an empty syntax tree.
"""

import ast
import io
import os
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 10_000
MAX_ENTRIES = 500_000  # files and folders looked at, Python or not
MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_TREE_BYTES = 64 * 1024 * 1024
MAX_TEXT = 160  # characters of one cell

SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})

Function = ast.FunctionDef | ast.AsyncFunctionDef

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_COMPOUND = (
    ast.mod,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.ExceptHandler,
    ast.Match,
    ast.match_case,
)
# Strings are matched so that a # inside one is no comment. Nothing here can backtrack.
_COMMENT_OR_STRING = re.compile(
    r"#[^\n]*+"
    r'|"""(?:[^"\\]++|\\.|"(?!""))*+(?:""")?+'
    r"|'''(?:[^'\\]++|\\.|'(?!''))*+(?:''')?+"
    r'|"(?:[^"\\\n]++|\\.)*+"?+'
    r"|'(?:[^'\\\n]++|\\.)*+'?+",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """A place that could not be read, and why."""

    file: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its text (line ends made equal), its syntax, and what was wrong with it."""

    file: str
    name: str
    is_package: bool
    text: str
    syntax: ast.Module
    problem: Problem | None

    @property
    def lines(self) -> list[str]:
        """The lines of the text; the newline that ends the last one begins no further line."""
        lines = self.text.split("\n")
        return lines if lines[-1] else lines[:-1]

    @property
    def is_test(self) -> bool:
        """Whether the file's name or folder says that it holds tests."""
        *folders, name = self.file.split("/")
        return (
            name.startswith("test_")
            or name.endswith("_test.py")
            or name == "conftest.py"
            or not {"test", "tests"}.isdisjoint(folders)
        )


@dataclass(frozen=True, slots=True)
class Tree:
    """The Python files of a folder, in a fixed order, and the places that were left out."""

    folder: Path
    prefix: tuple[str, ...]  # the packages that the folder itself is and lies in
    files: tuple[str, ...]
    problems: tuple[Problem, ...]

    def modules(self) -> Iterator[Module]:
        """Read and parse one file after the other."""
        packages = {file.rpartition("/")[0] for file in self.files if _is_init(file)}
        for file in self.files:
            yield _read(self.folder, file, _dotted(file, self.prefix, packages))


def find(folder: Path) -> Tree:
    """Look for Python files: no hidden folders, installed packages, caches or symbolic links."""
    files: list[str] = []
    problems: list[Problem] = []
    entries = size = 0
    stack: list[tuple[Path, str]] = [(folder, "")]
    while stack:
        here, shown = stack.pop()
        try:
            with os.scandir(here) as scan:
                inside = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(Problem(clean(shown) or ".", 1, f"folder not read: {_reason(error)}"))
            continue
        entries += len(inside)
        if shown and any(entry.name == "pyvenv.cfg" for entry in inside):
            continue
        for entry in inside:
            if not _is_source(entry):
                continue
            bytes_ = _size(entry)
            if bytes_ > MAX_FILE_BYTES:
                problems.append(Problem(clean(shown + entry.name), 1, _too_large(bytes_)))
                continue
            size += bytes_
            if len(files) >= MAX_FILES or size > MAX_TREE_BYTES or entries > MAX_ENTRIES:
                what = f"the rest of the folder is not read: {len(files)} files are the limit here"
                problems.append(Problem(clean(shown + entry.name), 1, what))
                return _tree(folder, files, problems)
            files.append(shown + entry.name)
        if entries > MAX_ENTRIES:
            what = f"the rest of the folder is not read: it has over {MAX_ENTRIES} entries"
            problems.append(Problem(clean(shown) or ".", 1, what))
            break
        folders = [entry for entry in inside if _is_folder(entry)]
        stack += [(Path(entry.path), f"{shown}{entry.name}/") for entry in reversed(folders)]
    return _tree(folder, files, problems)


def parse(text: str) -> ast.Module:
    """Parse without the warnings that Python has for its own source.

    Raises:
        SyntaxError: it is not Python, or more deeply nested than the parser can follow.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError:
        raise
    except (RecursionError, MemoryError):
        raise SyntaxError("nested too deeply to be parsed") from None
    except (ValueError, OverflowError) as error:
        raise SyntaxError(str(error)) from None


def children(node: ast.AST) -> list[ast.AST]:
    """The statements, handlers and cases directly inside a node, in the order of the source."""
    if not isinstance(node, _COMPOUND):
        return []
    found: list[ast.AST] = []
    for block in _BLOCKS:
        found += getattr(node, block, ())
    return found


def statements(top: ast.AST) -> Iterator[ast.AST]:
    """Every statement, handler and case inside a node, in the order of the source."""
    stack = children(top)[::-1]
    while stack:
        node = stack.pop()
        yield node
        stack += children(node)[::-1]


def nodes(top: ast.AST) -> Iterator[ast.AST]:
    """Every node below and with `top`, in no promised order; faster than `ast.walk`, as deep."""
    stack = [top]
    while stack:
        node = stack.pop()
        yield node
        for field in node._fields:
            if field == "ctx":
                continue
            value = getattr(node, field, None)
            if isinstance(value, list):
                stack += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                stack.append(value)


def scoped(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """As `statements`, each with the qualified name of the function or class it stands in."""
    stack = [("", child) for child in reversed(children(module.syntax))]
    while stack:
        scope, node = stack.pop()
        yield scope, node
        if isinstance(node, Function | ast.ClassDef):
            scope = f"{scope}.{node.name}" if scope else node.name
        stack += [(scope, child) for child in reversed(children(node))]


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Every function of a module with its qualified name, in the order of the source."""
    for scope, node in scoped(module):
        if isinstance(node, Function):
            yield f"{scope}.{node.name}" if scope else node.name, node


def docstring(node: ast.AST) -> ast.Constant | None:
    """The string that documents a module, a class or a function."""
    body = getattr(node, "body", None)
    if isinstance(node, ast.Module | ast.ClassDef | Function) and body:
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            return first.value if isinstance(first.value.value, str) else None
    return None


def exported(module: Module) -> frozenset[str] | None:
    """The names in a module's `__all__`, or None where it has none that can be read."""
    names: set[str] = set()
    found = False
    for node in module.syntax.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            continue
        found = True
        names |= {
            inner.value for inner in nodes(node) if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
        }
    return frozenset(names) if found else None


def comments(text: str) -> Iterator[tuple[int, str]]:
    """The comments of a text, each with its line; also of a text that does not parse."""
    if "#" not in text:
        return
    line, seen = 1, 0
    for match in _COMMENT_OR_STRING.finditer(text):
        if text[match.start()] == "#":
            line += text.count("\n", seen, match.start())
            seen = match.start()
            yield line, match.group()


def clean(text: str) -> str:
    """Make text fit for a line of a table: valid Unicode, no control characters, not too long."""
    valid = text[: MAX_TEXT * 4].encode("utf-8", "backslashreplace").decode()
    line = _CONTROL.sub(" ", valid).strip()
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def _tree(folder: Path, files: list[str], problems: list[Problem]) -> Tree:
    prefix: list[str] = []
    here = folder.absolute()
    while (here / "__init__.py").is_file() and here.name:
        prefix.insert(0, here.name)
        here = here.parent
    return Tree(folder, tuple(prefix), tuple(files), tuple(problems))


def _is_init(file: str) -> bool:
    return file.rpartition("/")[2] == "__init__.py"


def _is_source(entry: os.DirEntry[str]) -> bool:
    """Only plain files: opening a pipe would wait for ever, a link is read where it points to."""
    try:
        return entry.name.endswith(".py") and entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name in SKIPPED:
        return False
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0  # reading it will say what is wrong


def _too_large(size: int) -> str:
    limit = MAX_FILE_BYTES // 1024
    return f"not read: {size // 1024} KiB, and {limit} KiB are the limit here"


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _dotted(file: str, prefix: tuple[str, ...], packages: set[str]) -> str:
    """The name by which a file is imported: counted from its outermost package, if it has one."""
    *folders, name = file.removesuffix(".py").split("/")
    start = 0
    if not prefix:
        outermost = (i for i in range(len(folders)) if "/".join(folders[: i + 1]) in packages)
        start = next(outermost, 0)
    last = [] if name == "__init__" else [name]
    return ".".join([*prefix, *folders[start:], *last])


def _read(folder: Path, file: str, name: str) -> Module:
    shown = clean(file)
    nothing = ast.Module([], [])
    try:
        with (folder / file).open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problem = Problem(shown, 1, f"not read: {_reason(error)}")
        return Module(shown, name, _is_init(file), "", nothing, problem)
    text, complaint = _decode(data)
    if complaint is not None:
        return Module(shown, name, _is_init(file), text, nothing, Problem(shown, complaint[0], complaint[1]))
    try:
        syntax = parse(text)
    except SyntaxError as error:
        problem = Problem(shown, error.lineno or 1, clean(f"does not parse: {error.msg}"))
        return Module(shown, name, _is_init(file), text, nothing, problem)
    return Module(shown, name, _is_init(file), text, syntax, None)


def _decode(data: bytes) -> tuple[str, tuple[int, str] | None]:
    """The text, and the line and the reason where it is not what a Python file may hold."""
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        return _lines(data.decode("utf-8", "replace")), (line, "holds a NUL byte")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return _lines(data.decode(encoding)), None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        complaint = line, f"is not {error.encoding}, the encoding it should have"
    except (SyntaxError, LookupError, ValueError) as error:
        complaint = 1, clean(f"cannot be decoded: {error}")
    return _lines(data.decode("utf-8", "replace")), complaint


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
