"""Every code block of the two guides runs here, against a real database. There is no way to exempt one.

A Python block runs as a script, after the first Python block of its guide (the prelude); one that holds
tests runs with pytest, alone; shell and SQL run as such. Another language fails.
"""

import ast
import asyncio
import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psycopg2
import pytest

from backend.core import database, settings

REPOSITORY = Path(__file__).parents[2]
GUIDES = (REPOSITORY / "backend/ASYNC_DATABASE_GUIDE.md", REPOSITORY / "backend/DATABASE_GUIDE.md")
PUBLIC = (
    "async_engine", "AsyncSessionLocal", "get_db", "get_db_context",
    "sync_engine", "SyncSessionLocal", "get_sync_db", "get_sync_db_context",
    "init_db", "close_db", "backend.app:app", "backend.models.base", "Base", "User", "Squad", "Member",
    "backend.core.settings", "settings.DATABASE_URL", "DATABASE_URL", "SQUAD_MIGRATE",
)  # fmt: skip
LANGUAGES = ("python", "bash", "console", "sql")
SECONDS = 60


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its fence, counted from 1."""

    guide: Path
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.guide.name}:{self.line}"

    @property
    def holds_tests(self) -> bool:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return self.language == "python" and any(
            isinstance(node, kinds) and node.name.startswith("test_") for node in ast.parse(self.code).body
        )


def blocks(guide: Path, content: str) -> Iterator[Block]:
    fence, start, info = "", 0, ""
    lines: list[str] = []
    for number, line in enumerate(content.splitlines(), 1):
        opening = re.match(r"\s*(`{3,}|~{3,})(.*)$", line)
        if fence:
            if line.strip() == fence:
                yield Block(guide, start, info, textwrap.dedent("\n".join(lines)) + "\n")
                fence, lines = "", []
            else:
                lines.append(line)
        elif opening:
            fence, start, info = opening[1], number, opening[2].strip()
    assert not fence, f"{guide.name}:{start} is not closed"


BLOCKS = [block for guide in GUIDES for block in blocks(guide, guide.read_text("utf-8"))]
EXAMPLES = [block for block in BLOCKS if block.language == "python" and block.holds_tests]


def prelude(guide: Path) -> Block:
    return next(block for block in BLOCKS if block.guide == guide and block.language == "python")


@pytest.fixture
def default_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The process's default instance is on a migrated database of its own."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    for cached in (settings.default, database.default):
        cached.cache_clear()
    yield database_url
    asyncio.run(database.close_db())
    for cached in (settings.default, database.default):
        cached.cache_clear()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project, so that a revision which a guide writes stays out of the real one."""
    for part in ("backend", "agentsquad"):
        shutil.copytree(REPOSITORY / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "alembic.ini", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def outcomes(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What became of the tests in each example, and what pytest said; one run for all, a start is slow."""
    folder = tmp_path_factory.mktemp("examples")
    for index, block in enumerate(EXAMPLES):
        (folder / f"test_example_{index}.py").write_text(block.code, "utf-8")
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", f"--rootdir={REPOSITORY}"]
    command += ["-p", "tests.conftest", f"--junitxml={folder}/report.xml", str(folder)]
    environment = os.environ | {"SQUAD_TEST_DATABASE_URL": server_url, "MY_TEST_DATABASE_URL": server_url}
    run = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found: dict[str, list[str]] = {"said": [run.stdout]}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        module = case.get("classname", "").rpartition(".")[2]
        found.setdefault(module, []).append(next((child.tag for child in case if child.tag != "properties"), "passed"))
    return found


def run_script(*parts: Block) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for part in parts:
        code = compile(
            "\n" * part.line + part.code,
            str(part.guide),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(awaited(eval(code, names)))
        else:
            eval(code, names)


async def awaited(script: Any) -> None:
    try:
        await script
    finally:
        await database.close_db()


def run_shell(block: Block, url: str, folder: Path) -> str:
    shown = re.match(r"\$ ", block.code)  # a console: commands stand behind a dollar, answers without
    code = "\n".join(re.findall(r"(?m)^\$ (.*)$", block.code)) if shown else block.code
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(folder),
        "DATABASE_URL": url,
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_sql(block: Block, url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(block.code)


def run(block: Block, url: str, request: pytest.FixtureRequest) -> None:
    match block.language:
        case "python":
            first = prelude(block.guide) if block.guide in GUIDES else block
            run_script(*([first, block] if block != first else [block]))
        case "bash" | "console":
            run_shell(block, url, request.getfixturevalue("checkout"))
        case "sql":
            run_sql(block, url)
        case other:
            pytest.fail(f"{block.name} is in {other or 'no language'}, which nothing here runs")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b not in EXAMPLES], ids=lambda block: block.name)
def test_block_runs(block: Block, default_database: str, request: pytest.FixtureRequest) -> None:
    run(block, default_database, request)


@pytest.mark.parametrize("index", range(len(EXAMPLES)), ids=lambda index: EXAMPLES[index].name)
def test_example_of_a_test_passes(index: int, outcomes: dict[str, list[str]]) -> None:
    assert set(outcomes.get(f"test_example_{index}", [])) == {"passed"}, outcomes["said"][0]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "assert False"),
        ("python", "from backend.core.database import get_db_context\nasync with get_db_context() as db: db.none"),
        ("bash", "false"),
        ("bash", "false | true"),
        ("console", "$ false"),
        ("sql", "SELECT none FROM users"),
        ("text", ""),
        ("", ""),
    ],
)
def test_a_wrong_block_fails(language: str, code: str, default_database: str, request: pytest.FixtureRequest) -> None:
    wrong = Block(Path("wrong.md"), 1, language, code)
    with pytest.raises((AssertionError, AttributeError, psycopg2.Error, pytest.fail.Exception)):
        run(wrong, default_database, request)


def test_blocks_are_found_whatever_their_fence() -> None:
    content = "```python\na\n```\n- item\n  ~~~~ sql\n  b\n  ```\n  ~~~~\n```\nc\n```\n"
    found = [(block.line, block.language, block.code) for block in blocks(Path("any.md"), content)]
    assert found == [(1, "python", "a\n"), (5, "sql", "b\n```\n"), (9, "", "c\n")]


def test_an_open_fence_is_refused() -> None:
    with pytest.raises(AssertionError, match="is not closed"):
        list(blocks(Path("any.md"), "```python\na\n"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_guide_has_examples_in_known_languages_only(guide: Path) -> None:
    languages = {block.language for block in BLOCKS if block.guide == guide}
    assert "python" in languages
    assert languages <= set(LANGUAGES)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
@pytest.mark.parametrize("name", PUBLIC)
def test_guide_names_the_public_interface(guide: Path, name: str) -> None:
    assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", guide.read_text("utf-8"))


@pytest.mark.parametrize(
    "guide", [*GUIDES, REPOSITORY / "README.md", *REPOSITORY.glob("docs/*.md")], ids=lambda g: g.name
)
def test_links_and_paths_lead_somewhere(guide: Path) -> None:
    content = guide.read_text("utf-8")
    links = [guide.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", content)]
    paths = [REPOSITORY / path for path in re.findall(r"`((?:backend|tests)/[\w/.-]+)`", content)]
    assert [path for path in links + paths if not path.exists()] == []
