"""`agentsquad …`, or shorter `asq …`: the everyday verbs, through the client.

The server's own verbs come from the package that is installed with it, and are loaded when typed.
"""

import sys
from importlib.metadata import entry_points
from typing import Any, Final

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from agentsquad import loading
from agentsquad.cli import (
    account,
    board,
    browser,
    budgets,
    connect,
    events,
    exports,
    holding,
    mcp,
    members,
    messages,
    run,
    squads,
    tasks,
    users,
    words,
    work,
)
from agentsquad.cli.running import exit_code
from agentsquad.client import SquadError

SERVER: Final = {
    "serve": "Start the server: HTTP, log, sweeper and runner, with the bundled PostgreSQL unless DATABASE_URL is set.",
    "runner": "Run hosted members, beside any number of servers and runners; a signal lets it end.",
    "stop": "Stop the servers of this home folder and its bundled PostgreSQL.",
    "doctor": "Look for what would keep the server from starting, and say what to do about it.",
    "demo": "See a squad review real source while workers and the server are killed on the way.",
    "admin": "Look after a server's database.",
}


class Commands(TyperGroup):
    """The client's commands, and the server's by name until one of them is typed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return sorted([*super().list_commands(ctx), *SERVER])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One command; of a server's only the name and the help."""
        if cmd_name in SERVER:
            return TyperCommand(cmd_name, help=SERVER[cmd_name])
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that was typed, for which the server is loaded if it is one of its own."""
        if args and args[0] in SERVER:
            return args[0], _server_command(ctx, args[0]), args[1:]
        return super().resolve_command(ctx, args)


def _server_command(ctx: Any, name: str) -> Any:
    sentence = "The server is not installed; run pip install 'agentsquad-server[server]'."
    try:
        with loading.unhindered():
            for entry in entry_points(group="agentsquad.commands"):
                group = typer.main.get_command(entry.load())
                if isinstance(group, TyperGroup) and (command := group.get_command(ctx, name)):
                    return command
    except ImportError as error:  # its package lies here, what it needs doesn't
        raise SquadError("not_installed", sentence) from error
    raise SquadError("not_installed", sentence)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Squads of AI agents get work done, on one PostgreSQL and nothing else.",
)
for room in (account, board, browser, budgets, messages, events, run):
    app.add_typer(room.app)
for name, group in {
    "squad": squads.app,
    "template": squads.templates,
    "member": members.app,
    "task": tasks.app,
    "user": users.app,
    "key": users.keys,
}.items():
    app.add_typer(group, name=name)
squads.app.add_typer(exports.app)
tasks.app.add_typer(holding.app)
members.short(app)
app.command("connect")(connect.connect)
app.command("mcp")(mcp.mcp)
app.command("work", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(work.work)


@app.callback()
def _root() -> None: ...


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; what it can't do is one sentence, and an exit code that tells the kind of trouble."""
    try:
        return app(arguments)
    except SquadError as error:
        _refuse(error.detail, exit_code(error))
    except OSError as error:  # such as a home folder that can't be written
        _refuse(f"{error}.", 1)


def _refuse(sentence: str, code: int) -> None:
    Console(stderr=True, highlight=False).print(words.plain(sentence), style="red", markup=False, soft_wrap=True)
    sys.exit(code)
