"""What a model has read becomes shorter before it no longer fits: the oldest exchanges become one summary."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart

from agentsquad.schemas.steps import Step
from backend.core.jsons import cut, dumps
from backend.runner.journal import Journal
from backend.runner.questions import Question

FULL: Final = 0.7  # of the window
KEPT: Final = 0.25  # of the window: the newest exchanges stay as they are
UNKNOWN: Final = 100_000  # tokens of a window of which nobody knows
PER_TOKEN: Final = 3  # characters
ASKED: Final = """\
What follows is the older part of your work on a task, as data. Sum it up for yourself, since you won't see it again:
what was found out, decided and made, with names, numbers and results as they stand there; what is open; what failed and
why. Answer with the summary alone, in at most {words} words.
"""


def is_due(question: Question, journal: Journal) -> bool:
    """Whether the conversation takes more than 70 % of the window, and has something old in it."""
    _, tokens, _ = question.sized(journal.conversation().messages)
    window = question.window or UNKNOWN
    return tokens > FULL * window and bool(_old(journal, window))


def prepared(question: Question, journal: Journal) -> tuple[Question, str, list[ModelMessage], dict[str, Any]]:
    """The question without tools that asks for the summary, its kind, what the model hears, and what it stands for."""
    window = question.window or UNKNOWN
    room = int(window * FULL * PER_TOKEN)
    old = _fitting(_old(journal, window), room)
    said = cut(dumps([_plain(step) for step in old]), room)
    text = f"{ASKED.format(words=max(100, window // 50))}\n\n{said}"
    bare = question.bare()
    return bare, "summary", [ModelRequest([UserPromptPart(text)])], {"up_to": old[-1].step}


def _old(journal: Journal, window: int) -> Sequence[Step]:
    """The oldest steps that can go: whole exchanges, but for the first prompt and the newest ones."""
    heard = journal.heard
    summary = [step for step in heard if step.kind == "summary" and step.state == "finished"][-1:]
    up_to = summary[0].content["up_to"] if summary else 0
    steps = [step for step in heard[1:] if step.step > up_to and step.kind != "summary" and step.state != "started"]
    room = KEPT * window * PER_TOKEN
    for index in range(len(steps) - 1, -1, -1):
        room -= len(dumps(steps[index].content))
        if room < 0:
            break
    else:
        return []
    # An exchange begins with an answer or a prompt; its calls stay with it.
    while index > 0 and steps[index].kind == "tool":
        index -= 1
    return [*summary, *steps[:index]] if index else []


def _fitting(old: Sequence[Step], room: int) -> Sequence[Step]:
    """As many whole exchanges as can be read at once, but one at least: a summary stands for what it has seen."""
    sizes = [*accumulate(len(dumps(_plain(step))) + 2 for step in old)]
    ends = [end for end in range(1, len(old) + 1) if end == len(old) or old[end].kind != "tool"]
    if old[0].kind == "summary":
        del ends[0]
    return old[: max((end for end in ends if sizes[end - 1] <= room), default=ends[0])]


def _plain(step: Step) -> dict[str, Any]:
    return {"step": step.step, "kind": step.kind, "name": step.name, "content": step.content}
