"""`asq member …`, and `asq pause` and `asq resume`."""

from typing import Annotated, Any, get_args

import typer
from rich.text import Text

from agentsquad.cli import hosting, plans, squads, words
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, checked
from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import Kind, Member, MemberEdit, MemberNew

app = typer.Typer(no_args_is_help=True, help="Members: add, list, show, pause, retire them; their tokens.")
Name = Annotated[str, typer.Argument(help="The member's name or id.")]
Role = Annotated[str | None, typer.Option(help="Whose tasks it takes.")]
Instructions = Annotated[str | None, typer.Option(help="What it should know of its work; @FILE, - reads.")]


@verb(app, "add", more=hosting.OPTIONS)
async def add(
    client: AsyncClient,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    role: Role = None,
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(Kind))}.")] = "external",
    instructions: Instructions = None,
    user: Annotated[str | None, typer.Option(help="The email address of a person's account.")] = None,
    hosted: Annotated[bool, typer.Option("--hosted", help="Let the server run it, with its own model.")] = False,
    **how: Any,
) -> Answer:
    """Add a member; with a model the server runs it."""
    text = plans.text(instructions) or ""
    run = hosting.made(how, Hosting() if hosted else None)
    kind = "person" if user else "hosted" if run else kind
    new = checked(MemberNew, name=name, role=role or "", kind=kind, instructions=text, user=user, hosting=run)
    member = await client.add_member(new)
    return Answer(member, Text(f"{member.name} joined as {member.role or member.kind}{_run(member)}"))


@verb(app, "list")
async def list_(client: AsyncClient) -> Answer:
    """The members of the squad, and what they hold."""
    members, tasks = await client.members(), await client.tasks(status="in_progress")
    tasks += await client.tasks(status="in_review")
    holds = {member.name: [f"#{task.number}" for task in tasks if task.holder == member.name] for member in members}
    rows = [
        (
            member.name,
            member.kind,
            member.role,
            words.model(member),
            words.state(member),
            words.ago(member.last_seen_at),
            " ".join(holds[member.name]),
        )
        for member in members
    ]
    columns = ("name", "kind", "role", "model", "state", "last seen", "holds")
    return Answer(members, words.table(columns, rows, nothing="There is nobody."))


@verb(app, "show")
async def show(client: AsyncClient, name: Name) -> Answer:
    """A member: how it is run, if the server does, and its instructions."""
    member = await client.member(name)
    facts = (member.kind, member.role, words.state(member), f"last seen {words.ago(member.last_seen_at)}")
    said = [f"{member.name}: {', '.join(filter(None, facts))}", *hosting.described(member)]
    said += [words.plain(member.instructions)] if member.instructions else []
    return Answer(member, Text("\n".join(said)))


@verb(app, "edit", more=hosting.OPTIONS)
async def edit(
    client: AsyncClient,
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    role: Role = None,
    instructions: Instructions = None,
    no_hosting: Annotated[
        bool, typer.Option("--no-hosting", help="Let the server run it no more, or only as the other options say.")
    ] = False,
    **how: Any,
) -> Answer:
    """Rename a member, or change its role, its instructions or how the server runs it."""
    given = {"name": new_name, "role": role, "instructions": plans.text(instructions)}
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if no_hosting:
        changes["hosting"] = hosting.made(how, None)
    elif hosting.given(how):
        changes["hosting"] = hosting.made(how, (await client.member(name)).hosting)
    member = await client.update_member(name, checked(MemberEdit, **changes))
    return Answer(member, Text(f"{member.name} is {member.role or 'of no role'}{_run(member)}"))


@verb(app, "token")
async def token(
    client: AsyncClient,
    name: Name,
    label: Annotated[str, typer.Option("--for", help="What it is for.")] = "",
) -> Answer:
    """Make a token that acts as a member. It is shown once."""
    made = await client.create_token(name, label)
    hint = f"\nKeep it, it is shown only once. To come in with it: SQUAD_URL={client.url} SQUAD_TOKEN=… asq whoami"
    return Answer(made, Text.assemble((made.secret, "bold"), (hint, "dim")))


@verb(app, "tokens")
async def tokens(client: AsyncClient, name: Name) -> Answer:
    """A member's tokens, without their secrets."""
    found = await client.tokens(name)
    rows = [
        (each.id, words.ago(each.created_at), "revoked" if each.revoked_at else "good", each.name) for each in found
    ]
    return Answer(found, words.table(("id", "made", "state", "for"), rows, nothing="It has none."))


@verb(app, "revoke")
async def revoke(
    client: AsyncClient,
    name: Name,
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id, as `asq member tokens` lists it.")],
) -> Answer:
    """Revoke a member's token: it is dead everywhere within a second."""
    await client.revoke_token(name, token_id)
    return Answer({"revoked": token_id}, Text("Revoked."))


@verb(app, "retire")
async def retire(client: AsyncClient, name: Name) -> Answer:
    """End a member for good: its attempts end, its tasks are anybody's, its tokens are dead."""
    member = await client.retire(name)
    return Answer(member, Text(f"{member.name} is retired"))


@verb(app, "pause")
async def pause(client: AsyncClient, name: Name, now: squads.Now = False) -> Answer:
    """Let a member claim nothing more."""
    before = await client.tasks(holder=name) if now else []
    member = await client.pause(name, now=now)
    ended = "".join(f"; #{task.number} attempt {task.attempt} ended" for task in before)
    return Answer(member, Text(f"{member.name} paused{ended}"))


@verb(app, "resume")
async def resume(client: AsyncClient, name: Name) -> Answer:
    """Let a paused member claim again."""
    member = await client.resume(name)
    return Answer(member, Text(f"{member.name} goes on"))


def _run(member: Member) -> str:
    """What there is to say of a member that is hosted."""
    if member.kind != "hosted":
        return ""
    if member.hosting:
        return f"; the server runs it with {words.line(words.model(member))}"
    return f"; nobody runs it until it has a model: asq member edit {member.name} --model default"


def short(root: typer.Typer) -> None:
    """`asq pause` and `asq resume`, of a member that is named, else of the squad."""
    whom = Annotated[str | None, typer.Argument(help="A member; by default the whole squad.")]

    @verb(root, "pause")
    async def pause_any(client: AsyncClient, name: whom = None, now: squads.Now = False) -> Answer:
        """Let a member, or nobody in the squad, claim anything more."""
        answer: Answer = await (pause(client, name, now) if name else squads.pause(client, now))
        return answer

    @verb(root, "resume")
    async def resume_any(client: AsyncClient, name: whom = None) -> Answer:
        """Let a paused member, or the whole squad, go on."""
        answer: Answer = await (resume(client, name) if name else squads.resume(client))
        return answer
