"""What an event says to a person: one plain sentence for each kind of the union."""

from typing import assert_never

from agentsquad import spending, steps
from agentsquad.schemas.events import Event
from agentsquad.schemas.events.budgets import SquadBudgetSet, TaskBudgetSet
from agentsquad.schemas.events.members import (
    MemberAdded,
    MemberPaused,
    MemberResumed,
    MemberRetired,
    MemberUpdated,
    TokenCreated,
    TokenRevoked,
)
from agentsquad.schemas.events.messages import MessageAcknowledged, MessageSent
from agentsquad.schemas.events.squads import (
    SquadArchived,
    SquadCreated,
    SquadImported,
    SquadPaused,
    SquadResumed,
    SquadUnarchived,
    SquadUpdated,
)
from agentsquad.schemas.events.steps import StepEnded, StepStarted
from agentsquad.schemas.events.tasks import (
    State,
    TaskAccepted,
    TaskBlocked,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskHandedOff,
    TaskLapsed,
    TaskRejected,
    TaskReleased,
    TaskResumed,
    TaskRetried,
    TaskStuck,
    TaskUnblocked,
    TaskUpdated,
    TaskWaiting,
)
from agentsquad.schemas.hosting import Hosting

SQUAD = SquadCreated | SquadUpdated | SquadPaused | SquadResumed | SquadArchived | SquadUnarchived | SquadImported
MEMBER = MemberAdded | MemberUpdated | MemberPaused | MemberResumed | MemberRetired | TokenCreated | TokenRevoked
TASK = (
    TaskCreated
    | TaskUpdated
    | TaskClaimed
    | TaskCompleted
    | TaskFailed
    | TaskLapsed
    | TaskReleased
    | TaskHandedOff
    | TaskWaiting
    | TaskAccepted
    | TaskRejected
    | TaskUnblocked
    | TaskStuck
    | TaskCancelled
    | TaskRetried
    | TaskBlocked
    | TaskResumed
)
SERVER = "The server"
QUOTED = 120  # characters of a text that a sentence quotes


def sentence(event: Event) -> str:  # noqa: PLR0911  (a case a noun)
    """The sentence of an event, on one line."""
    who = event.actor.member or SERVER
    match event:
        case (
            SquadCreated()
            | SquadUpdated()
            | SquadPaused()
            | SquadResumed()
            | SquadArchived()
            | SquadUnarchived()
            | SquadImported()
        ):
            return _of_squad(event, who)
        case (
            MemberAdded()
            | MemberUpdated()
            | MemberPaused()
            | MemberResumed()
            | MemberRetired()
            | TokenCreated()
            | TokenRevoked()
        ):
            return _of_member(event, who)
        case MessageSent(data=sent):
            where = f" about #{event.task}" if event.task else ""
            to = sent.to or (None if event.task else "everybody")
            return f"{sent.sender or SERVER} wrote{f' to {to}' if to else ''}{where}: {_quoted(sent.body)}"
        case MessageAcknowledged(data=done):
            return f"{done.member} has taken care of message {done.message}."
        case StepStarted() | StepEnded():
            return _of_step(event, who, f"#{event.task}")
        case SquadBudgetSet() | TaskBudgetSet():
            whose = f"#{event.task}" if event.task else "the squad"
            may = event.data
            return f"{who} set the budget of {whose}: {spending.limits(may.cost, may.tokens, may.calls)}."
        case _:
            return _of_task(event, who, f"#{event.task}")


def _of_squad(event: SQUAD, who: str) -> str:  # noqa: PLR0911  (a case a kind)
    match event:
        case SquadCreated():
            return f"{who} made the squad {event.data.name}."
        case SquadUpdated():
            return f"{who} changed the squad: {_changes(event.data.model_dump(exclude_unset=True))}."
        case SquadPaused():
            return f"{who} paused the squad."
        case SquadResumed():
            return f"{who} let the squad go on."
        case SquadArchived():
            return f"{who} archived the squad."
        case SquadUnarchived():
            return f"{who} opened the squad again."
        case SquadImported():
            return f"{who} brought the squad in from a file, as {event.data.name}."
        case _:
            assert_never(event)


def _of_member(event: MEMBER, who: str) -> str:  # noqa: PLR0911  (a case a kind)
    match event:
        case MemberAdded():
            role = f" as {event.data.role}" if event.data.role else ""
            return f"{who} added {event.data.name}{role}{_run(event.data.hosting)}."
        case MemberUpdated():
            changed = event.data.model_dump(include={"name", "role", "instructions"}, exclude_unset=True)
            if "hosting" in event.data.model_fields_set:
                changed["model"] = event.data.hosting and _quoted(event.data.hosting.model)
            return f"{who} changed {event.data.before}: {_changes(changed)}."
        case MemberPaused():
            return f"{who} paused {event.data.member}."
        case MemberResumed():
            return f"{who} let {event.data.member} go on."
        case MemberRetired():
            return f"{who} retired {event.data.member}."
        case TokenCreated():
            return f"{who} made a token for {event.data.member}{_label(event.data.label)}."
        case TokenRevoked():
            return f"{who} revoked a token of {event.data.member}{_label(event.data.label)}."
        case _:
            assert_never(event)


def _of_task(event: TASK, who: str, task: str) -> str:  # noqa: C901, PLR0911, PLR0912  (a case a kind)
    match event:
        case TaskCreated():
            return f"{who} made {task}: {_quoted(event.data.title)}"
        case TaskUpdated():
            changed = set(event.data.model_fields_set) - set(State.model_fields)
            return f"{who} changed {task}{f': {_listed(changed)}' if changed else ''}."
        case TaskClaimed():
            verb = "reviews" if event.data.kind == "review" else "claimed"
            paths = f"; reserved: {_quoted(', '.join(event.data.paths))}" if event.data.paths else ""
            return f"{who} {verb} {task} (attempt {event.attempt}){paths}."
        case TaskCompleted():
            return f"{who} completed {task}{'; it waits for a review' if event.data.status == 'in_review' else ''}."
        case TaskFailed():
            again = "; it is free again" if event.data.status == "todo" else ""
            return f"{who} failed {task}{again}{_because(event.data.reason)}"
        case TaskLapsed():
            left = "no try is left" if event.data.status == "failed" else "it is free again"
            return f"The lease of {task} (attempt {event.attempt}) lapsed; {left}."
        case TaskReleased():
            return f"{who} gave {task} back{_because(event.data.reason)}"
        case TaskHandedOff():
            to = event.data.assignee or event.data.role or "anybody"
            return f"{who} handed {task} to {to}{_because(event.data.reason)}"
        case TaskWaiting():
            ended = ", which have all ended: it is free again" if event.data.status == "todo" else ""
            return f"{who} waits for the parts of {task}{ended}."
        case TaskAccepted():
            return f"{who} accepted {task}{_because(event.data.reason)}"
        case TaskRejected():
            return f"{who} rejected {task}{_because(event.data.reason)}"
        case TaskUnblocked():
            return f"{task} is free: what it waited for has ended."
        case TaskStuck():
            return (
                f"{task} is stuck: {', '.join(f'#{number}' for number in event.data.ended)} ended without being done."
            )
        case TaskCancelled():
            return f"{who} cancelled {task}{_because(event.data.reason)}"
        case TaskRetried():
            return f"{who} opened {task} again."
        case TaskBlocked():
            return f"{who} blocked {task}{_because(event.data.reason)}"
        case TaskResumed():
            return f"{who} let {task} go on."
        case _:
            assert_never(event)


def _of_step(event: StepStarted | StepEnded, who: str, task: str) -> str:  # noqa: PLR0911  (a case a state of a kind)
    step = event.data
    price = spending.cost_of(step)
    cost = f" (cost {price})" if price == spending.UNKNOWN else f" ({price})" if price else ""
    said = _because(steps.line(step))
    match step.kind, step.state:
        case "prompt", _:
            return f"{who} was told about {task}{said}"
        case "tool", "unknown":
            return f"What {step.name} did for {who} at {task} came too late, and counts for nothing."
        case _, "unknown":
            return f"What {step.name} answered {who} about {task} came too late, and only its cost counts{cost}."
        case "answer", "started":
            return f"{who} asks {step.name} about {task}."
        case "summary", "started":
            return f"{who} lets {step.name} sum up what was done about {task}."
        case "tool", "started":
            return f"{who} calls {step.name} for {task}{said}"
        case "answer", "finished":
            return f"{step.name} answered {who} about {task}{cost}{said}"
        case "summary", "finished":
            return f"{step.name} summed up what was done about {task}{cost}{said}"
        case "tool", "finished":
            return f"{who} called {step.name} for {task}{said}"
        case _:
            return f"{step.name} failed {who} at {task}{cost}{said}"


def _because(reason: str | None) -> str:
    return f": {_quoted(reason)}" if reason else "."


def _label(label: str) -> str:
    return f" ({label})" if label else ""


def _run(hosting: Hosting | None) -> str:
    return f", with the model {_quoted(hosting.model)}" if hosting else ""


def _changes(changed: dict[str, object]) -> str:
    return ", ".join(
        name.replace("_", " ") if name == "instructions" else f"{name.replace('_', ' ')} {value or 'none'}"
        for name, value in changed.items()
    )


def _listed(fields: set[str]) -> str:
    return ", ".join(sorted(field.replace("_", " ") for field in fields))


def _quoted(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= QUOTED else f"{line[:QUOTED].rstrip()} …"
