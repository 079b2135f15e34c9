"""`asq squad export` and `import`: a squad as a file of JSON lines."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, Invalid

app = typer.Typer()


@verb(app, "export")
async def export(
    client: AsyncClient,
    file: Annotated[Path, typer.Argument(help="Where it goes; - is standard output.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> Answer:
    """Take a squad out as a file, log and all. The owner only."""
    if str(file) == "-":
        async for chunk in client.export_squad():
            sys.stdout.buffer.write(chunk)
        return Answer(None)
    if file.exists() and not force:
        raise Invalid("invalid", f"{file} is there already; name another file, or give --force.")
    new = file.with_name(f"{file.name}.new")
    size = 0
    try:
        with new.open("wb") as lines:
            async for chunk in client.export_squad():
                size += lines.write(chunk)
        new.replace(file)
    except OSError as error:
        raise Invalid("invalid", f"{new} can't be written ({error.strerror}); name another file.") from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    return Answer({"file": str(file), "bytes": size}, Text(f"{file}: {size:,} bytes"))


@verb(app, "import")
async def import_(
    client: AsyncClient,
    file: Annotated[Path, typer.Argument(help="What an export made.")],
    name: Annotated[str | None, typer.Option("--name", help="What it is called here; by default as there.")] = None,
) -> Answer:
    """Bring a squad in from such a file; you own it. All of it, or nothing."""
    if not file.is_file():
        raise Invalid("invalid", f"{file} is not a file; name one that `asq squad export` made.")
    made = await client.import_squad(file, name=name)
    outsiders = f"; without an account here: {', '.join(made.outsiders)}" if made.outsiders else ""
    paused = f"; paused, for the server would run them: {', '.join(made.paused)}" if made.paused else ""
    said = f"{made.squad.name} is here{outsiders}{paused}. Speak of it with `asq use {made.squad.name}`."
    return Answer(made, Text(said))
