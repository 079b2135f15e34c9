"""`asq user …` and `asq key …`."""

from typing import Annotated

import typer
from rich.text import Text

from agentsquad.cli import words
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, NotFound, checked
from agentsquad.schemas.users import Key, UserNew

app = typer.Typer(no_args_is_help=True, help="Accounts; for administrators.")
keys = typer.Typer(no_args_is_help=True, help="API keys of your own.")


@verb(app, "add")
async def add(
    client: AsyncClient,
    email: Annotated[str, typer.Argument(help="The person's email address.")],
    name: Annotated[str, typer.Option(help="The person's name.")] = "",
) -> Answer:
    """Make an account, with a key for the person. The key is shown once."""
    user = await client.create_user(checked(UserNew, email=email, name=name))
    key = await client.create_key("first", user_id=str(user.id))
    hint = f"\nFor {user.email}; it is shown only once. To come in: asq login {client.url}"
    return Answer({"user": user, "key": key}, Text.assemble((key.secret, "bold"), (hint, "dim")))


@verb(app, "list")
async def list_(client: AsyncClient) -> Answer:
    """All accounts, for an administrator; yourself for others."""
    users = await client.users()
    rows = [
        (
            user.email,
            "administrator" if user.is_admin else "",
            "active" if user.is_active else "closed",
            user.id,
            user.name,
        )
        for user in users
    ]
    return Answer(users, words.table(("email", "", "state", "id", "name"), rows, nothing="There is nobody."))


@verb(keys, "new")
async def new_key(
    client: AsyncClient,
    label: Annotated[str, typer.Argument(metavar="[FOR]", help="What it is for.")] = "",
    user: Annotated[str | None, typer.Option(help="For this account, as an administrator: its email address.")] = None,
) -> Answer:
    """Make an API key. It is shown once."""
    made = await client.create_key(label, user_id=await _account(client, user) if user else None)
    return Answer(made, Text.assemble((made.secret, "bold"), ("\nKeep it: it is shown only once.", "dim")))


@verb(keys, "list")
async def list_keys(client: AsyncClient) -> Answer:
    """Your keys, without their secrets."""
    found = await client.keys()
    rows = [(key.id, key.kind, words.ago(key.created_at), _state(key), key.name) for key in found]
    return Answer(found, words.table(("id", "kind", "made", "state", "for"), rows, nothing="You have none."))


@verb(keys, "revoke")
async def revoke_key(
    client: AsyncClient,
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as `asq key list` shows it.")],
) -> Answer:
    """Revoke a key: it is dead everywhere within a second."""
    await client.revoke_key(key_id)
    return Answer({"revoked": key_id}, Text("Revoked."))


def _state(key: Key) -> str:
    if key.revoked_at:
        return "revoked"
    return f"good for {words.left(key.expires_at)}" if key.expires_at else "good"


async def _account(client: AsyncClient, email: str) -> str:
    for user in await client.users():
        if user.email.casefold() == email.casefold():
            return str(user.id)
    raise NotFound("not_found", f"There is no account {email}; make one with `asq user add {email}`.")
