"""The reference says what the code says: every row of its tables is compared, in both directions."""

import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi.routing import iter_route_contexts
from typer.core import TyperGroup

from agentsquad import cli
from agentsquad.schemas import events, limits
from backend import cli as server
from backend.app import app
from backend.core import errors
from backend.core.settings import Settings
from backend.interfaces.http.errors import PLAIN, STATUS
from backend.interfaces.mcp.server import TOOLS

REPOSITORY = Path(__file__).parents[2]
REFERENCE = (REPOSITORY / "docs/reference.md").read_text(encoding="utf-8")
Rows = list[tuple[str, ...]]


def first_line(documented: Any) -> str:
    return str(documented.__doc__).strip().partition("\n")[0]


def settings() -> Rows:
    rows: Rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ("", (), {}) else f"`{field.default}`"
        rows.append((f"`{name}`", default, str(field.description)))
    return rows


def commands() -> Rows:
    """Every command, through the typer applications."""

    def walk(commands: Mapping[str, Any], *path: str) -> Iterator[tuple[str, str]]:
        for name, command in commands.items():
            if isinstance(command, TyperGroup):
                yield from walk(command.commands, *path, name)
            else:
                yield f"`asq {' '.join((*path, name))}`", str(command.help).strip().partition("\n")[0]

    group = typer.main.get_command(cli.app)
    assert isinstance(group, TyperGroup)
    return sorted(walk({**group.commands, **{name: server.command(name) for name in server.VERBS}}))


def routes() -> Rows:
    listed = (
        (
            f"`{method}`",
            f"`{route.path_format}`",
            first_line(route.endpoint) + (" Deprecated." if getattr(route, "deprecated", None) else ""),
        )
        for route in iter_route_contexts(app.routes)
        if getattr(route, "include_in_schema", False)
        for method in route.methods or ()
    )
    return sorted(listed, key=lambda row: (row[1].strip("`").split("/"), row[0]))


def tools() -> Rows:
    return [(f"`{tool.name}`", first_line(tool.run)) for tool in TOOLS]


def error_codes() -> Rows:
    ours: Rows = [(f"`{kind.code}`", str(status), first_line(kind)) for kind, status in STATUS.items()]
    codes = {code for code, *_ in ours}
    plain: Rows = [(f"`{code}`", str(status), detail) for status, (code, detail) in PLAIN.items()]
    return ours + [row for row in plain if row[0] not in codes]


def event_kinds() -> Rows:
    return [(f"`{name}`", first_line(kind)) for name, kind in events.kinds().items()]


def figures() -> Rows:
    """The limits, each with the comment that stands beside it."""
    text = Path(limits.__file__).read_text(encoding="utf-8")
    lines = text.splitlines()
    comments = {
        lines[token.start[0] - 1].partition(":")[0]: token.string.removeprefix("# ")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    return [(f"`{name}`", f"{value:,}", comments.get(name, "")) for name, value in values.items()]


def targets() -> Rows:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return [(f"`make {name}`", text) for name, text in re.findall(r"^([a-z-]+):.*?##  ?(.+)$", makefile, re.MULTILINE)]


SECTIONS = {
    "Settings": settings,
    "Commands": commands,
    "Make targets": targets,
    "Routes": routes,
    "Tools": tools,
    "Error codes": error_codes,
    "Kinds of event": event_kinds,
    "Limits": figures,
}


def section(title: str, text: str = REFERENCE) -> Rows:
    """The rows of the table under a heading."""
    body = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")][2:]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]


@pytest.mark.parametrize("title", SECTIONS)
def test_the_reference_says_what_the_code_says(title: str) -> None:
    expected = SECTIONS[title]()
    assert len(expected) > 3
    assert all(all(cell for cell in (row[0], row[-1])) for row in expected), "a description is missing in the code"
    assert section(title) == [tuple(cell.strip() for cell in row) for row in expected]


def test_a_line_that_is_gone_or_wrong_is_found() -> None:
    row = section("Error codes")[0]
    line = f"| {' | '.join(row)} |\n"
    assert line in REFERENCE
    for planted in ("", line.replace("422", "400")):
        assert section("Error codes", REFERENCE.replace(line, planted)) != section("Error codes")


def test_the_command_knows_the_server_s_verbs() -> None:
    assert set(server.VERBS) == set(cli.SERVER)


def test_every_error_class_is_in_the_table() -> None:
    documented = {code.strip("`") for code, *_ in section("Error codes")}
    assert {kind.code for kind in vars(errors).values() if isinstance(kind, type) and kind in STATUS} <= documented


def test_the_readme_and_the_guides_name_what_one_meets_first() -> None:
    texts = "".join(
        (REPOSITORY / name).read_text(encoding="utf-8")
        for name in ("README.md", "backend/ASYNC_DATABASE_GUIDE.md", "backend/DATABASE_GUIDE.md")
    )
    for name in ("DATABASE_URL", "SQUAD_HOME", "make demo", "make test", "asq serve", "docs/reference.md"):
        assert name in texts
    for name in set(re.findall(r"\bSQUAD_[A-Z_]+\b", texts)) - {"SQUAD_TASK_FILE", "SQUAD_TEST_DATABASE_URL"}:
        assert name in Settings.model_fields or name in REFERENCE, name
