"""`asq admin …`: what the owner of the machine does with the database, without a server and without a key."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from agentsquad import local
from backend import keyfile
from backend.backup import restoring, saving
from backend.cli.sentences import out, sentences
from backend.core.database import Database
from backend.core.settings import Settings, load
from backend.operations import users

app = typer.Typer(no_args_is_help=True, help="Look after a server's database.")
KEYS = (
    "API keys and tokens that were valid when it was saved are valid now; `asq admin key` makes a new one for the "
    "administrator."
)


@app.command()
def migrate() -> None:
    """Bring the database's schema to head."""
    with sentences():
        Database(load().model_copy(update={"SQUAD_MIGRATE": "on"})).open_sync()
        out.print("The schema is current.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the backup goes.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Save the database to a file, while servers work on it."""
    with sentences():
        out.print(saving.save(Database(load()), _placed(file), force=force).sentence, markup=False)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `asq admin backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Drop all that the database holds.")] = False,
) -> None:
    """Fill an empty database from a backup: all of it, or nothing."""
    with sentences():
        out.print(restoring.restore(Database(load()), _placed(file), replace=replace).sentence)
        out.print(KEYS)


@app.command()
def key() -> None:
    """Make a new API key for the administrator, where the command line finds it."""
    with sentences():
        settings = load()
        asyncio.run(_key(settings))
        out.print(f"The administrator's new key is in {settings.SQUAD_HOME / local.KEY}.", markup=False)


async def _key(settings: Settings) -> None:
    own = Database(settings)
    try:
        await own.open()
        await own.transact(users.recover, lambda secret: keyfile.keep(settings.SQUAD_HOME, secret))
    finally:
        await own.close()


def _placed(file: Path) -> Path:
    return file.expanduser().absolute()
