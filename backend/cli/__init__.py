"""The server's own verbs, each in a module of its own that is loaded when it is typed: not all need a whole server."""

import importlib
from typing import Any, Final

import typer
from typer.core import TyperGroup

VERBS: Final = ("admin", "demo", "doctor", "runner", "serve", "stop")


def command(name: str) -> Any:
    """Load one of them."""
    return typer.main.get_command(importlib.import_module(f"{__name__}.{name}").app)


class Verbs(TyperGroup):
    """They, by name until one of them is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  (typer's)
        """All names."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  (typer's)
        """One of them."""
        return command(cmd_name) if cmd_name in VERBS else None


app = typer.Typer(cls=Verbs)


@app.callback()
def _root() -> None: ...
