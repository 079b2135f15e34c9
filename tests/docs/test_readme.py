"""The README: its Python runs, its commands exist."""

import re

import pytest
import typer
from typer.core import TyperGroup

from agentsquad.cli import SERVER, app
from tests.docs.test_guides import REPOSITORY, Block, blocks, default_database, run_script  # noqa: F401  (a fixture)

README = REPOSITORY / "README.md"
PYTHON = [block for block in blocks(README, README.read_text("utf-8")) if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_the_python_runs(block: Block, default_database: str) -> None:  # noqa: F811  (a fixture)
    run_script(block)


def test_every_target_and_command_exists() -> None:
    text, makefile = README.read_text("utf-8"), (REPOSITORY / "Makefile").read_text("utf-8")
    for target in re.findall(r"(?:`|\$ )make (\w+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    typed = set(re.findall(r"(?:`|\$ |&& )asq (\w+)", text))
    assert {"serve", "squad", "task", "work"} <= typed <= {*SERVER, *group.commands}
