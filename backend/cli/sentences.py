"""How the server's verbs speak: one line, or one sentence and exit code 1."""

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console

from backend.core import failures
from backend.core.errors import SquadError

out = Console(highlight=False, soft_wrap=True)


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """What can't be done is one sentence and exit code 1."""
    try:
        with failures.translating:
            yield
    except SquadError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(error.detail, style="red", markup=False)
        raise typer.Exit(1) from None
