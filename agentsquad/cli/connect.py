"""`asq connect`: a coding agent joins as a member, through the bridge that it starts."""

import asyncio
import shlex
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from agentsquad import tokens
from agentsquad.cli import running
from agentsquad.cli.connecting import notes, setups
from agentsquad.cli.connecting.bridge import bridge
from agentsquad.cli.connecting.clients import Name
from agentsquad.cli.running import Answer
from agentsquad.client import (
    AlreadyExists,
    AsyncClient,
    Forbidden,
    Invalid,
    NotFound,
    SquadError,
    Unauthenticated,
    checked,
)
from agentsquad.schemas import limits
from agentsquad.schemas.members import Member, MemberNew


def connect(
    name: Annotated[Name, typer.Argument(metavar="CLIENT", help=f"One of {', '.join(each.value for each in Name)}.")],
    member: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Who it is; added to the squad if new.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Role of a new member: whose tasks it takes.")] = None,
    squad: running.Squad = None,
    write: Annotated[bool, typer.Option("--write", help="Write it into the client's file.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take out what was written, and end the token.")] = False,
    as_json: running.Json = False,
) -> None:
    """Let a coding agent join as a member: say, or write, what its client has to know.

    The client starts `asq mcp`, which takes the member's token from a file that only you can read; none stands in the
    client's own. Files are those of this folder, but for Codex, which has one for all folders.
    """
    given = {"name": name, "member": member, "role": role, "write": write, "remove": remove}
    running.ending(lambda: running.run(_connect, as_json, squad, None, given))


async def _connect(
    client: AsyncClient, name: Name, member: str | None, role: str | None, *, write: bool, remove: bool
) -> Answer:
    if not member:
        raise Invalid("invalid", "Who is it? Say --as NAME.")
    if write and remove:
        raise Invalid("invalid", "Say --write or --remove, not both.")
    if remove:
        return await _removed(client, name, member)
    kept, joined = await _token(client, name, member, role)
    setup = setups.Setup(name, Path.cwd(), bridge(kept.squad, kept.member, kept.url))
    lines = [f"{kept.member} joined {kept.squad_name} as {role or 'a member of no role'}."] if joined else []
    data: dict[str, Any] = {"squad": kept.squad, "member": kept.member, "client": name.value, "written": write}
    if write:
        data["server"] = await setups.write(setup)
        where = "the list of `claude mcp`" if setup.by_command else setup.file
        lines.append(f"{setup.client.title} starts {data['server']} for {kept.member}: it stands in {where}.")
        lines += [f"Unread messages come by hooks in {file}." for file in setup.hooks]
    else:
        blocks = setups.blocks(setup)
        data["blocks"] = [{"file": block.where and str(block.where), "text": block.text} for block in blocks]
        for block in blocks:
            lines += [f"Put into {block.where}:" if block.where else "Type in this folder:", "", block.text, ""]
        lines.append("Or let --write do it.")
    data["then"] = setup.client.then
    return Answer(data, Text("\n".join([*lines, setup.client.then])))


async def _token(client: AsyncClient, name: Name, member: str, role: str | None) -> tuple[tokens.Kept, bool]:
    """A token of the member that works, and whether the member is new; what isn't there is made."""
    kept = await _kept(client, member)
    if kept and (me := await _works(kept)):
        _fits(me, role)
        return kept, False
    squad = await client.squad()
    found, joined = await _member(client, member, role)
    label = f"{name.value} on {socket.gethostname()}"[: limits.NAME]
    made = await client.create_token(found.name, label)
    kept = await asyncio.to_thread(
        tokens.keep, client.url, str(squad.id), squad.name, found.name, made.secret, str(made.id)
    )
    return kept, joined


async def _kept(client: AsyncClient, member: str) -> tokens.Kept | None:
    """The member's token that is kept for this server, also if the squad has another name by now."""
    kept = await asyncio.to_thread(tokens.find, await client.squad_id(), member, client.url)
    if kept is None:
        squad = await client.squad()
        kept = await asyncio.to_thread(tokens.find, str(squad.id), member, client.url)
    return kept


async def _works(kept: tokens.Kept) -> Member | None:
    """Who a token is, if it is still that member's."""
    try:
        async with AsyncClient(kept.url, kept.token, squad=kept.squad, patience=running.PATIENCE) as client:
            me = await client.me()
    except (Unauthenticated, Forbidden, NotFound):
        return None
    return me if me.name == kept.member else None


async def _member(client: AsyncClient, name: str, role: str | None) -> tuple[Member, bool]:
    """The member, and whether it is new."""
    joined = False
    try:
        found = await client.member(name)
    except NotFound:
        try:
            found = await client.add_member(checked(MemberNew, name=name, role=role or ""))
            joined = True
        except AlreadyExists:  # somebody else's in this moment
            found = await client.member(name)
    if found.retired_at:
        raise AlreadyExists("already_exists", f"{found.name} is retired; choose another name.")
    if found.kind != "external":
        what = "a person" if found.kind == "person" else "run by the server"
        raise AlreadyExists("already_exists", f"{found.name} is {what}; choose another name.")
    _fits(found, role)
    return found, joined


def _fits(member: Member, role: str | None) -> None:
    if role is not None and role != member.role:
        remedy = f"leave out --role, or change it with `asq member edit {member.name} --role {shlex.quote(role)}`"
        raise Invalid("invalid", f"{member.name} is there already as {member.role or 'a member of no role'}; {remedy}.")


async def _removed(client: AsyncClient, name: Name, member: str) -> Answer:
    kept = await _kept(client, member)
    squad_id = kept.squad if kept else str((await client.squad()).id)
    setup = setups.Setup(name, Path.cwd(), bridge(squad_id, member, client.url))
    found = await setups.remove(setup)
    title = setup.client.title
    said = f"{title} starts nothing for {member} any more." if found else f"{title} started nothing for {member}."
    others = [each for each in notes.read().connections if (each.squad, each.member) == (squad_id, member)]
    data = {"squad": squad_id, "member": member, "client": name.value, "removed": found, "revoked": False}
    if kept and others:
        said += f" The token stays for {others[0].client}{f' in {others[0].folder}' if others[0].folder else ''}."
    elif kept:
        await _revoke(client, kept)
        data["revoked"] = True
        said += " The token is revoked."
    return Answer(data, Text(said))


async def _revoke(client: AsyncClient, kept: tokens.Kept) -> None:
    """End a token of this server, and forget it then."""
    try:
        # by the squad's id: the name by which it was found may be another squad's by now
        async with AsyncClient(client.url, squad=kept.squad, patience=client.patience) as owner:
            await owner.revoke_token(kept.member, kept.id)
    except NotFound:
        pass  # the squad, the member or the token is gone
    except SquadError as error:
        sentence = f"The client is set up no longer, but the token couldn't be revoked: {error.detail.rstrip('.')}"
        raise type(error)(error.code, f"{sentence}; try it again.", error.fields) from error
    await asyncio.to_thread(tokens.forget, *kept.place)
