"""The kinds of finding: each one analysis, the role it asks for, and the words around its table."""

from collections.abc import Callable
from dataclasses import dataclass

from backend.demo import findings, functions, imports, source

HOTSPOTS = "hotspots"
REPORT = "report"
HOTSPOT_COLUMNS = ("file", "line", "what", "kinds", "findings")


@dataclass(frozen=True, slots=True)
class Kind:
    """One analysis. The first three columns of its table are always file, line and `what`."""

    name: str
    title: str
    role: str
    one: str
    many: str
    rule: str
    what: str
    numbers: tuple[str, ...]
    find: Callable[[source.Tree], list[findings.Finding]]

    @property
    def description(self) -> str:
        """What the task's holder is told."""
        return f"{self.title} of the folder given as input. What counts: {self.rule}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        return ("file", "line", self.what, *self.numbers)

    def count(self, number: int) -> str:
        """The number with its noun."""
        return f"{number:,} {self.one if number == 1 else self.many}"


KINDS = (
    Kind(
        name="parse",
        title="Read every module",
        role="reviewer",
        one="place that cannot be read",
        many="places that cannot be read",
        rule="Files that cannot be opened, decoded or parsed, or are too large, and folders that cannot be listed.",
        what="problem",
        numbers=(),
        find=findings.unreadable,
    ),
    Kind(
        name="size",
        title="Measure the modules",
        role="reviewer",
        one="measured place",
        many="measured places",
        rule="Lines, lines of code, and the share of comments and docstrings in what is written: "
        "everything, each folder, each module.",
        what="measured",
        numbers=(
            "lines",
            "code",
            "comments %",
        ),
        find=findings.sizes,
    ),
    Kind(
        name="cycles",
        title="Find the import cycles",
        role="architect",
        one="import cycle",
        many="import cycles",
        rule="Modules that import each other in a ring while they are imported; imports for the type "
        "checker and inside functions do not count. Shown is the shortest way round, and how many "
        "modules hang together by such rings.",
        what="shortest ring",
        numbers=("modules tied",),
        find=imports.cycles,
    ),
    Kind(
        name="copies",
        title="Find the copied functions",
        role="architect",
        one="function with copies",
        many="functions with copies",
        rule=f"Functions of {functions.COPY_LINES} lines or more whose bodies are equal but for layout, "
        "comments and docstring.",
        what="function",
        numbers=(
            "lines to save",
            "copies",
        ),
        find=functions.copies,
    ),
    Kind(
        name="large",
        title="Find the largest functions",
        role="architect",
        one="large function",
        many="large functions",
        rule=f"Functions of more than {functions.LARGE} lines, the largest first.",
        what="function",
        numbers=("lines",),
        find=functions.large,
    ),
    Kind(
        name="complex",
        title="Find the most complex functions",
        role="reviewer",
        one="complex or deep function",
        many="complex or deep functions",
        rule=f"Functions with more than {functions.COMPLEX} ways through (cyclomatic complexity) or with "
        f"blocks more than {functions.DEEP} deep.",
        what="function",
        numbers=(
            "ways",
            "depth",
        ),
        find=functions.complex_,
    ),
    Kind(
        name="parameters",
        title="Find the functions with many parameters",
        role="reviewer",
        one="function with many parameters",
        many="functions with many parameters",
        rule=f"Functions that take more than {functions.PARAMETERS} arguments, `self` and `cls` not counted.",
        what="function",
        numbers=("parameters",),
        find=functions.parameters,
    ),
    Kind(
        name="excepts",
        title="Find the blind excepts",
        role="reviewer",
        one="blind except",
        many="blind excepts",
        rule="Handlers that catch every error and neither raise nor use or log what they caught.",
        what="handler",
        numbers=(),
        find=findings.blind_excepts,
    ),
    Kind(
        name="defaults",
        title="Find the mutable default arguments",
        role="reviewer",
        one="mutable default",
        many="mutable defaults",
        rule="Defaults such as a list, which all calls of a function share and any of them can change.",
        what="default",
        numbers=(),
        find=functions.mutable_defaults,
    ),
    Kind(
        name="unused",
        title="Find the unused imports",
        role="reviewer",
        one="unused import",
        many="unused imports",
        rule="Imports at the top of modules whose name nothing in the file uses and no other file takes "
        "from it. In doubt (`__init__`, `__all__`, a try, a noqa) it counts as used.",
        what="import",
        numbers=(),
        find=imports.unused,
    ),
    Kind(
        name="undocumented",
        title="Find the public names without a docstring",
        role="writer",
        one="public name without a docstring",
        many="public names without a docstring",
        rule="Functions, methods and classes; tests, private modules, overloads, overrides and setters are left alone.",
        what="name",
        numbers=(),
        find=functions.undocumented,
    ),
    Kind(
        name="open_ends",
        title="Collect the open ends",
        role="writer",
        one="open end",
        many="open ends",
        rule="Comments that say that something is still to be done or mended.",
        what="comment",
        numbers=(),
        find=findings.open_ends,
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
