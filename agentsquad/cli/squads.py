"""`asq squad …` and `asq template …`."""

from typing import Annotated

import typer
from rich.text import Text

from agentsquad.cli import hosting, words
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, NotFound, checked
from agentsquad.schemas import limits
from agentsquad.schemas.squads import Squad, SquadEdit, SquadNew

app = typer.Typer(no_args_is_help=True, help="Squads: make, list, show, pause, archive them.")
templates = typer.Typer(no_args_is_help=True, help="What squads can be made from.")
Name = Annotated[str | None, typer.Argument(help="Its name or id; by default the one in use.")]
Now = Annotated[bool, typer.Option("--now", help="End live attempts too; it uses no try.")]


@verb(app, "create")
async def create(
    client: AsyncClient,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    template: Annotated[str | None, typer.Option("--template", "-t", help="Begin with the members of this.")] = None,
    model: hosting.Model = None,
    base_url: hosting.BaseUrl = None,
    lease: Annotated[int, typer.Option(help="Seconds until a silent holder loses its task.")] = limits.LEASE,
    tries: Annotated[int, typer.Option(help="How often a task may lapse or be tried again.")] = limits.TRIES,
) -> Answer:
    """Make a squad, from nothing or from a template; you own it. With a model the server runs its hosted members."""
    run = hosting.made({"model": model, "base_url": base_url}, None)
    new = checked(SquadNew, name=name, template=template, hosting=run, lease_seconds=lease, max_tries=tries)
    squad = await client.create_squad(new)
    return Answer(squad, Text(f"{described(squad)}. Speak of it with `asq use {squad.name}`."))


@verb(app, "list")
async def list_(client: AsyncClient) -> Answer:
    """Your squads."""
    squads = await client.squads()
    rows = [(squad.name, squad.owner.email, len(active(squad)), condition(squad), squad.id) for squad in squads]
    columns = ("name", "owner", "members", "state", "id")
    return Answer(squads, words.table(columns, rows, nothing="None yet; make one with `asq squad create NAME`."))


@verb(app, "show")
async def show(client: AsyncClient, name: Name = None) -> Answer:
    """A squad with its members."""
    squad = await client.squad(name)
    facts = f"{condition(squad)}, lease {squad.lease_seconds} s, {squad.max_tries} tries"
    return Answer(squad, Text(f"{described(squad)}; {facts}\n{', '.join(active(squad))}"))


@verb(app, "edit")
async def edit(
    client: AsyncClient,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    lease: Annotated[int | None, typer.Option(help="Seconds until a silent holder loses its task.")] = None,
    tries: Annotated[int | None, typer.Option(help="How often a task may lapse or be tried again.")] = None,
) -> Answer:
    """Rename a squad, or change its lease or tries."""
    given = {"name": name, "lease_seconds": lease, "max_tries": tries}
    changes = {field: value for field, value in given.items() if value is not None}
    squad = await client.update_squad(checked(SquadEdit, **changes))
    return Answer(squad, Text(f"{described(squad)}; lease {squad.lease_seconds} s, {squad.max_tries} tries"))


@verb(app, "pause")
async def pause(client: AsyncClient, now: Now = False) -> Answer:
    """Let nobody claim anything."""
    squad = await client.pause_squad(now=now)
    return Answer(squad, Text(f"{squad.name} paused" + ("; live attempts ended" if now else "")))


@verb(app, "resume")
async def resume(client: AsyncClient) -> Answer:
    """Let a paused squad go on."""
    squad = await client.resume_squad()
    return Answer(squad, Text(f"{squad.name} goes on"))


@verb(app, "archive")
async def archive(client: AsyncClient) -> Answer:
    """End a squad's work: it can only be read from now on."""
    squad = await client.archive_squad()
    return Answer(squad, Text(f"{squad.name} is archived; `asq squad unarchive` opens it again"))


@verb(app, "unarchive")
async def unarchive(client: AsyncClient) -> Answer:
    """Open an archived squad again."""
    squad = await client.unarchive_squad()
    return Answer(squad, Text(f"{squad.name} is open"))


@verb(templates, "list")
async def list_templates(client: AsyncClient) -> Answer:
    """What squads can be made from."""
    found = await client.templates()
    rows = [(template.name, len(template.members), template.title) for template in found]
    return Answer(found, words.table(("name", "members", "for"), rows, nothing="There is none."))


@verb(templates, "show")
async def show_template(client: AsyncClient, name: Annotated[str, typer.Argument(help="Which one.")]) -> Answer:
    """A template's members and their instructions."""
    found = {template.name: template for template in await client.templates()}
    if name not in found:
        raise NotFound("not_found", f"There is no template {name}; choose one of {', '.join(found)}.")
    template = found[name]
    members = (
        Text.assemble("\n", (f"{member.name} ({member.role})", "bold"), f"\n{member.instructions}\n")
        for member in template.members
    )
    return Answer(template, Text.assemble(f"{template.title}\n{template.description}\n", *members))


def described(squad: Squad) -> str:
    """A squad in one line: what one is in it, too, if one owns it."""
    mine = [member.name for member in squad.members if member.user == squad.owner.id]
    count = len(active(squad))
    return f"{squad.name}: {count} member{'s' if count != 1 else ''}; {squad.owner.email} owns it as `{''.join(mine)}`"


def active(squad: Squad) -> list[str]:
    """Names of the members that were not retired."""
    return [member.name for member in squad.members if member.retired_at is None]


def condition(squad: Squad) -> str:
    """Whether it works."""
    return "archived" if squad.archived_at else "paused" if squad.paused_at else "active"
