"""Getting nowhere, seen without a model: from the journal and the attempts alone."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from agentsquad.schemas.steps import Step
from backend.core.jsons import dumps

SAME: Final = 4  # times that one call is made running
HANDOFFS: Final = 3  # times that a task goes between two members
IDLE: Final = 3  # times that a member takes a task and only lets it go
LETTING_GO: Final = {"wait_for_children", "handoff_task"}
QUIET: Final = 30  # steps without an event of the task's own


def repeats(steps: Sequence[Step], name: str, arguments: Any) -> str | None:
    """Why a call isn't made: it would be the same one for the fourth time running, since the model was told anything.

    Args:
        steps: of this attempt, in order.
        name: of the tool.
        arguments: of the call.
    """
    told = max((step.step for step in steps if step.kind == "prompt"), default=0)
    calls = [step for step in steps if step.kind == "tool" and step.step > told]
    same = takewhile(lambda step: (step.name, _key(step.content["arguments"])) == (name, _key(arguments)), calls[::-1])
    if sum(1 for _ in same) + 1 < SAME:
        return None
    return f"it calls {name} with the same arguments for the {SAME}th time running."


def to_and_fro(attempts: Sequence[Mapping[str, Any]]) -> str | None:
    """Why an attempt isn't begun: two members hand the task to each other, and neither gets it done.

    Args:
        attempts: those before this one, in order.
    """
    last = attempts[-HANDOFFS:]
    if len(last) < HANDOFFS or any(each["outcome"] != "handed_off" for each in last):
        return None
    members = [each["member"] for each in last]
    if members[0] == members[1] or members[0] != members[2]:
        return None
    return f"{members[0]} and {members[1]} have handed it to each other {HANDOFFS} times without a new result."


def idle(attempts: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> str | None:
    """Why an attempt isn't begun: the member waits for parts that have all ended, or hands the task to itself.

    Args:
        attempts: those before this one, in order.
        steps: of the conversation.
    """
    last = attempts[-IDLE:]
    if len(last) < IDLE or len({each["member"] for each in last}) > 1:
        return None
    for each in last:
        called = {step.name for step in steps if step.kind == "tool" and step.attempt == each["attempt"]}
        if not called or called - LETTING_GO:
            return None
    return f"{last[0]['member']} has taken it {IDLE} times running, and did nothing but let it go again."


def quiet(steps: int) -> str | None:
    """Why an attempt doesn't go on: so many steps since the task's last event of its own.

    Args:
        steps: how many.
    """
    return f"{steps} steps brought nothing that the squad could see." if steps >= QUIET else None


def _key(value: Any) -> str:
    return dumps(value)
