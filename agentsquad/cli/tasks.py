"""`asq task …`, as far as it makes, reads and steers tasks."""

from typing import Annotated, Any, get_args

import typer
from rich.text import Text

from agentsquad.cli import plans, timeline, words
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, Invalid, checked
from agentsquad.schemas.tasks import Status, Task, TaskEdit, TaskNew

app = typer.Typer(no_args_is_help=True, help="Tasks: make, show, claim, finish, steer them.")
Number = Annotated[int, typer.Argument(metavar="N", min=1, help="The task's number.")]
Other = Annotated[int, typer.Argument(metavar="OTHER", min=1, help="The task that it waits for.")]
Role = Annotated[str | None, typer.Option("--role", help="Whose task it is: a role.")]
Assignee = Annotated[str | None, typer.Option("--assignee", help="Whose task it is: a member.")]
Review = Annotated[str | None, typer.Option("--review", help='Whose review it needs: a role; "": anybody else\'s.')]
Priority = Annotated[int | None, typer.Option("--priority", "-p", min=0, max=4, help="0 comes first; by default 2.")]
Description = Annotated[str | None, typer.Option("--description", "-d", help="What is to be done; @FILE, - reads.")]
Input = Annotated[str | None, typer.Option("--input", help="What goes with it: JSON, or text; @FILE, - reads.")]
Claim = Annotated[str | None, typer.Option(envvar="SQUAD_CLAIM", hidden=True)]


@verb(app, "create")
async def create(
    client: AsyncClient,
    title: Annotated[str | None, typer.Argument(help="What is to be done, in a line.")] = None,
    description: Description = None,
    role: Role = None,
    assignee: Assignee = None,
    review: Review = None,
    priority: Priority = None,
    depends_on: Annotated[
        list[int] | None, typer.Option("--depends-on", "--after", help="A task that it waits for; may be repeated.")
    ] = None,
    parent: Annotated[
        int | None, typer.Option("--parent", envvar="SQUAD_TASK", help="The task that it is a part of.")
    ] = None,
    task_input: Input = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="A whole plan, in YAML; - reads it.")] = None,
    claim: Claim = None,
) -> Answer:
    """Make a task, or all tasks of a plan with their dependencies.

    A plan is a list of tasks in YAML, each with a title and, as it needs them, key, depends_on (keys or numbers),
    description, input, role, assignee, review, priority and parent.
    """
    if (title is None) == (file is None):
        raise Invalid("invalid", "Give a title, or a plan with --file.")
    if file is not None:
        new = plans.read(file, parent)
    else:
        fields: dict[str, Any] = {
            "title": title,
            "description": plans.text(description),
            "role": role,
            "assignee": assignee,
            "review": review,
            "priority": priority,
            "depends_on": depends_on,
            "parent": parent,
            "input": plans.value(task_input),
        }
        new = [checked(TaskNew, **{field: value for field, value in fields.items() if value is not None})]
    made = await client.create_tasks(new, claim=claim)
    return Answer(made, Text("\n").join(_made(task, single=title is not None) for task in made))


def _made(task: Task, *, single: bool) -> Text:
    return words.changed(task) if single else Text.assemble(words.changed(task), f"  {words.line(task.title)}")


@verb(app, "list")
async def list_(
    client: AsyncClient,
    status: Annotated[str | None, typer.Option(help=f"One of {', '.join(get_args(Status))}.")] = None,
    role: Role = None,
    assignee: Assignee = None,
    holder: Annotated[str | None, typer.Option(help="Who holds it.")] = None,
    parent: Annotated[int | None, typer.Option(help="Whose part it is.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 200,
) -> Answer:
    """Tasks by number."""
    found = await client.tasks(
        status=status,  # type: ignore[arg-type]  # the server says which there are
        role=role,
        assignee=assignee,
        holder=holder,
        parent=parent,
        limit=limit,
    )
    rows = [
        (f"#{task.number}", words.status(task), task.assignee or task.role, task.holder or "", task.title)
        for task in found
    ]
    columns = ("", "status", "for", "holder", "title")
    return Answer(found, words.table(columns, rows, nothing="None; make one with `asq task create TITLE`."))


@verb(app, "show")
async def show(
    client: AsyncClient,
    number: Number,
    whole: Annotated[
        bool, typer.Option("--steps", help="Its hosted members' steps whole, not a line of each.")
    ] = False,
) -> Answer:
    """A task with everything that happened to it: attempts, thread, hosted members' steps, result."""
    task, attempts, thread, steps = (
        await client.task(number),
        await client.attempts(number),
        await client.thread(number),
        await client.steps(number),
    )
    data = {"task": task, "attempts": attempts, "messages": thread, "steps": steps}
    journal = timeline.journal(steps, whole=whole)
    return Answer(data, timeline.view(task, attempts, thread, journal))


@verb(app, "edit")
async def edit(
    client: AsyncClient,
    number: Number,
    title: Annotated[str | None, typer.Option("--title", help="A new title.")] = None,
    description: Description = None,
    role: Role = None,
    review: Review = None,
    priority: Priority = None,
    task_input: Input = None,
) -> Answer:
    """Change what a task says, or for whom it is."""
    given = {
        "title": title,
        "description": plans.text(description),
        "role": role,
        "review": review,
        "priority": priority,
        "input": plans.value(task_input),
    }
    return await _edit(client, number, **{field: value for field, value in given.items() if value is not None})


@verb(app, "assign")
async def assign(
    client: AsyncClient,
    number: Number,
    assignee: Annotated[str | None, typer.Argument(metavar="MEMBER", help="By default nobody in particular.")] = None,
) -> Answer:
    """Give a task to a member, or to nobody in particular."""
    return await _edit(client, number, assignee=assignee)


async def _edit(client: AsyncClient, number: int, **changes: Any) -> Answer:
    if not changes:
        raise Invalid("invalid", "Say what to change; --help lists it.")
    task = await client.update_task(number, checked(TaskEdit, **changes))
    return Answer(task, words.changed(task))


@verb(app, "cancel")
async def cancel(
    client: AsyncClient,
    number: Number,
    reason: Annotated[str, typer.Argument(help="Why.")] = "",
    cascade: Annotated[bool, typer.Option("--cascade", help="Also its parts and what waits for it.")] = False,
) -> Answer:
    """Cancel an unfinished task; a live attempt ends."""
    task = await client.cancel(number, reason, cascade=cascade)
    return Answer(task, words.changed(task))


@verb(app, "retry")
async def retry(client: AsyncClient, number: Number) -> Answer:
    """Open a failed or cancelled task again, with all its tries."""
    task = await client.retry(number)
    return Answer(task, words.changed(task))


@verb(app, "block")
async def block(client: AsyncClient, number: Number, reason: Annotated[str, typer.Argument(help="Why.")]) -> Answer:
    """Block a task until it is resumed; a live attempt ends, which uses no try."""
    task = await client.block(number, reason)
    return Answer(task, words.changed(task))


@verb(app, "resume")
async def resume(client: AsyncClient, number: Number) -> Answer:
    """Let a task go on that was blocked by a budget or as stalled."""
    task = await client.resume_task(number)
    return Answer(task, words.changed(task))


@verb(app, "depend")
async def depend(client: AsyncClient, number: Number, other: Other) -> Answer:
    """Let a task wait for another one."""
    task = await client.add_dependency(number, other)
    return Answer(task, words.changed(task))


@verb(app, "undepend")
async def undepend(client: AsyncClient, number: Number, other: Other) -> Answer:
    """Let a task no longer wait for another one."""
    task = await client.remove_dependency(number, other)
    return Answer(task, words.changed(task))
