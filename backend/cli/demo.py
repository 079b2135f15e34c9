"""`asq demo`: a squad at work, to look at."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.sentences import sentences
from backend.demo import run as demonstration

app = typer.Typer()


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Python source to review; by default this program's.")] = None,
    report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("report.md"),
    picture: Annotated[Path | None, typer.Option(help="Where an SVG of board and log goes.")] = None,
) -> None:
    """See a squad review real source while workers and the server are killed on the way."""
    with sentences():
        given = (folder or _own_source()).expanduser().absolute()
        asyncio.run(demonstration.run(given, report.expanduser().absolute(), picture))


def _own_source() -> Path:
    """The project where it lies as a whole, else the server's package."""
    package = Path(__file__).parents[1]
    return package.parent if (package.parent / "pyproject.toml").exists() else package
