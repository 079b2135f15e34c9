"""A task as `asq task show` draws it: what it says, then what happened, then what came of it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from agentsquad import spending, steps
from agentsquad.cli import words
from agentsquad.schemas.messages import Message
from agentsquad.schemas.steps import Step
from agentsquad.schemas.tasks import Attempt, Task

BEGINNING = 100  # characters of a step that stand on its line
STATES = {"started": "cyan", "finished": "green", "failed": "red", "unknown": "yellow"}
GOOD = ("completed", "accepted")
BAD = ("failed", "retried", "lapsed", "rejected", "cancelled")


def view(task: Task, attempts: Sequence[Attempt], thread: Sequence[Message], journal: Text) -> Text:
    """The whole of it."""
    text = Text()
    text.append(f"#{task.number} {words.line(task.title)}\n", "bold")
    text.append_text(words.status(task)).append(f"  {words.line(task.why)}\n")
    text.append(f"{_facts(task)}\n", "dim")
    for body in (task.description, words.words(task.input) if task.input else ""):
        if body:
            text.append(f"\n{words.plain(body).rstrip()}\n")
    happened = [(attempt.started_at, _attempt(attempt)) for attempt in attempts]
    happened += [(message.at, _message(message)) for message in thread]
    text.append("\n")
    text.append(f"{words.clock(task.created_at)}  made by {task.created_by or 'the server'}\n")
    for moment, said in sorted(happened, key=lambda each: each[0]):
        text.append(f"{words.clock(moment)}  ").append_text(said).append("\n")
    text.append_text(journal)
    if task.result is not None:
        text.append("\nresult\n", "bold").append(f"{words.words(task.result).rstrip()}\n")
    text.right_crop(1)
    return text


def journal(done: Sequence[Step], *, whole: bool) -> Text:
    """The steps of hosted members: a line of each with the beginning of its text, or all of them."""
    text = Text()
    if done:
        text.append("\nsteps\n", "bold")
    for step in done:
        text.append_text(_step(step))
        if whole:
            for part in steps.parts(step):
                label = f"{part.label}: " if part.label else ""
                text.append(f"\n{label}", "bold").append(words.plain(part.text).strip())
            text.append("\n\n")
        else:
            said = words.line(steps.line(step))
            text.append(f"  {said if len(said) <= BEGINNING else f'{said[:BEGINNING].rstrip()} …'}\n")
    return text


def _step(step: Step) -> Text:
    facts = (
        f"{step.step}",
        f"attempt {step.attempt}",
        step.member,
        f"{step.kind} {step.name}".rstrip(),
    )
    text = Text(f"{words.clock(step.started_at)}  {'  '.join(facts)}: ")
    text.append(step.state, STATES[step.state])
    if step.kind != "prompt":
        ended = step.ended_at or datetime.now(UTC)
        took = words.lasting((ended - step.started_at).total_seconds())
        text.append(f" {'after' if step.ended_at else 'for'} {took}")
    tokens, cost = spending.tokens_of(step), spending.cost_of(step)
    if tokens:
        text.append(f"  {tokens} tokens, {'cost ' if cost == spending.UNKNOWN else ''}{cost}", "dim")
    return text


def _facts(task: Task) -> str:
    facts = {
        "for": task.assignee or task.role or "anybody",
        "priority": task.priority,
        "review by": None if task.review is None else task.review or "anybody else",
        "waits for": " ".join(f"#{number}" for number in task.depends_on),
        "part of": task.parent and f"#{task.parent}",
        "held by": task.holder,
        "lease": words.left(task.lease_ends_at),
        "tries left": task.tries_left,
    }
    return ", ".join(f"{name} {fact}" for name, fact in facts.items() if fact not in {None, ""})


def _attempt(attempt: Attempt) -> Text:
    ended = attempt.ended_at or datetime.now(UTC)
    took = words.lasting((ended - attempt.started_at).total_seconds())
    what = "review" if attempt.kind == "review" else "attempt"
    text = Text(f"{what} {attempt.attempt} by {attempt.member}: ")
    outcome = attempt.outcome or "running"
    style = "green" if outcome in GOOD else "red" if outcome in BAD else "cyan"
    text.append(outcome.replace("_", " "), style).append(f" {'after' if attempt.outcome else 'for'} {took}")
    if not attempt.outcome:
        text.append(words.reserved(attempt.paths))
    if attempt.reason:
        text.append(f": {words.line(attempt.reason)}")
    return text


def _message(message: Message) -> Text:
    to = f" to {message.to}" if message.to else ""
    return Text.assemble((f"{message.sender or 'the server'}{to}: ", "bold"), words.plain(message.body).rstrip())
