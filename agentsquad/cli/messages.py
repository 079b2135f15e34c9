"""`asq send`, `inbox`, `ack`, `ask` and `answer`."""

from typing import Annotated, Any

import typer
from rich.text import Text

from agentsquad.cli import hooks, plans, words
from agentsquad.cli.holding import handle
from agentsquad.cli.running import Answer, verb
from agentsquad.cli.tasks import Claim, Number
from agentsquad.client import AsyncClient, Invalid
from agentsquad.schemas.messages import Received
from agentsquad.schemas.tasks import Task

app = typer.Typer()
Hook = Annotated[bool, typer.Option("--hook", help="Hand it to a session of Claude Code, whose hook this is.")]


@verb(app, "send")
async def send(
    client: AsyncClient,
    body: Annotated[str, typer.Argument(help="What to say; @FILE, - reads.")],
    to: Annotated[str | None, typer.Option("--to", help="A member.")] = None,
    task: Annotated[int | None, typer.Option("--task", envvar="SQUAD_TASK", help="In this task's thread.")] = None,
    to_all: Annotated[bool, typer.Option("--all", help="To everybody.")] = False,
    claim: Claim = None,
) -> Answer:
    """Send a message: to a member, to a task's thread, or to all."""
    if to is None and task is None and not to_all:
        raise Invalid("invalid", "To whom? Say --to MEMBER, --task N or --all.")
    where = None if to_all else task
    sent = await client.send(plans.text(body) or "", to=to, task=where, all=to_all, claim=claim)
    return Answer(sent, Text(f"sent to {', '.join(sent.recipients) or 'nobody'}"))


@verb(app, "inbox", instead={"hook": hooks.hand_over})
async def inbox(
    client: AsyncClient,
    everything: Annotated[bool, typer.Option("--all", help="Also what was read.")] = False,
    peek: Annotated[bool, typer.Option("--peek", help="Leave it unread.")] = False,
    hook: Hook = False,  # noqa: ARG001  (the flag is for `instead`)
) -> Answer:
    """Your questions and messages; what is shown is read then."""
    me = await client.me()
    questions = await client.tasks(assignee=me.name, status="todo") if me.kind == "person" else []
    page = await client.inbox(unread=not everything)
    messages = page.items
    while page.next is not None and everything:
        page = await client.inbox(cursor=page.next)
        messages += page.items
    if messages and not peek:
        await client.mark_read(messages[-1].position)
    data: dict[str, Any] = {"questions": questions, "messages": messages, "unread": page.unread}
    if not questions and not messages:
        return Answer(data, Text("Nothing new.", style="dim"))
    left = 0 if everything else page.unread - len(messages)
    more = [Text(f"{left} more unread; ask again.", "dim")] if left > 0 else []
    return Answer(data, Text("\n").join([*map(_question, questions), *map(_received, messages), *more]))


def _question(task: Task) -> Text:
    asked = f'{task.created_by} asks: "{words.line(task.title)}"'
    text = Text.assemble((f"#{task.number} ", "yellow"), asked, (f"   asq answer {task.number} …", "dim"))
    for body in (task.description, words.words(task.input) if task.input else ""):
        if body:
            text.append(f"\n{words.plain(body).rstrip()}")
    return text


def _received(message: Received) -> Text:
    where = f" about #{message.task}" if message.task else ""
    new = "bold" if message.read_at is None else "dim"
    head = f"{message.position}  {words.clock(message.at)}  {message.sender or 'the server'}{where}: "
    return Text.assemble((head, new), words.plain(message.body).rstrip())


@verb(app, "ack")
async def ack(
    client: AsyncClient,
    messages: Annotated[
        list[int], typer.Argument(metavar="MESSAGE…", help="Their numbers, as `asq inbox` shows them.")
    ],
) -> Answer:
    """Note that messages were taken care of."""
    unread = await client.ack(*messages)
    return Answer({"unread": unread}, Text(f"Noted; {unread} unread."))


@verb(app, "ask")
async def ask(
    client: AsyncClient,
    question: Annotated[str, typer.Argument(help="The question, in a line.")],
    details: Annotated[str, typer.Option("--details", "-d", help="What the person should know; @FILE, - reads.")] = "",
    to: Annotated[str | None, typer.Option("--to", help="A person; by default the squad's owner.")] = None,
    task: Annotated[
        int | None, typer.Option("--task", envvar="SQUAD_TASK", help="The held task that waits for the answer.")
    ] = None,
) -> Answer:
    """Ask a person; the held task waits for the answer, and comes back with it."""
    asked = await client.ask(await handle(client, task), question, plans.text(details) or "", to=to)
    return Answer(asked, Text(f"#{asked.question.number} asks {asked.question.assignee}; #{asked.task.number} waits"))


@verb(app, "answer")
async def answer(
    client: AsyncClient,
    number: Number,
    said: Annotated[str, typer.Argument(metavar="ANSWER", help="The answer: text, or JSON; @FILE, - reads.")],
) -> Answer:
    """Answer a question; its asker goes on."""
    task = await client.answer(number, plans.value(said))
    return Answer(task, words.changed(task))
