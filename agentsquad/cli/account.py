"""`asq login`, `logout`, `whoami` and `use`: with what the command line comes."""

import getpass
import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from agentsquad import profile
from agentsquad.cli import plans, squads
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, Invalid, NotFound

app = typer.Typer()


@verb(app, "login")
async def login(
    client: AsyncClient,
    url: Annotated[str | None, typer.Argument(help="The server's address; by default the one that runs here.")] = None,
    key: Annotated[str | None, typer.Option(help="An API key or a member token; else it is asked for.")] = None,
) -> Answer:
    """Keep a server's address and a key for it, in a file that only you can read."""
    address = url or client.url
    secret = key or _asked(address)
    if not secret:
        raise Invalid("invalid", "No key was given; an administrator makes one with `asq user add`.")
    async with AsyncClient(address, secret) as found:
        answer = await _whoami(found)
    profile.keep(url=address.rstrip("/"), key=secret, squad=None)
    return answer


@verb(app, "logout")
async def logout(client: AsyncClient) -> Answer:  # noqa: ARG001  (every command has one)
    """Forget the address, the key and the squad in use."""
    profile.keep(url=None, key=None, squad=None)
    return Answer({"kept": profile.kept()}, Text("Forgotten."))


@verb(app, "whoami")
async def whoami(client: AsyncClient) -> Answer:
    """Who you are, where, and in which squad."""
    return await _whoami(client)


async def _whoami(client: AsyncClient) -> Answer:
    data: dict[str, Any] = {"url": client.url, "user": None, "member": None}
    said = []
    try:
        user = data["user"] = await client.user()
        said.append(f"{user.email}{' (administrator)' if user.is_admin else ''}")
    except NotFound:
        pass  # a member token is no account
    try:
        squad, me = await client.squad(), await client.me()
        data |= {"squad": {"id": squad.id, "name": squad.name}, "member": me}
        role = f", {me.role}" if me.role else ""
        said.append(f"`{me.name}` in {squad.name} ({'owner' if me.is_owner else me.kind}{role}), {me.unread} unread")
    except Invalid as error:
        said.append(error.detail)
    return Answer(data, Text(f"{client.url}   {'; '.join(said)}"))


@verb(app, "use")
async def use(client: AsyncClient, name: Annotated[str, typer.Argument(help="The squad's name or id.")]) -> Answer:
    """Speak of this squad from now on."""
    squad = await client.squad(name)
    profile.keep(squad=str(squad.id))
    return Answer(squad, Text(squads.described(squad)))


def _asked(address: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"Key for {address}: ").strip()
    return plans.file("-").strip()
