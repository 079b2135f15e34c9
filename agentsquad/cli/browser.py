"""`asq open`: the page, logged in."""

import asyncio
import webbrowser
from typing import Annotated

import typer
from rich.text import Text

from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient

app = typer.Typer()


@verb(app, "open")
async def open_(
    client: AsyncClient,
    show: Annotated[
        bool, typer.Option("--print", help="Only say the address; it works once, within a minute.")
    ] = False,
) -> Answer:
    """Open the page in a browser, logged in as yourself."""
    link = await client.create_link()
    opened = not show and await asyncio.to_thread(webbrowser.open, link.url)
    said = f"{client.url} is open in the browser." if opened else link.url
    return Answer(link, Text(said, no_wrap=True, overflow="ignore"))
