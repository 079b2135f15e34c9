"""What the rehearsal says. Texts and notes begin with its mark, so that nobody takes them for a model's."""

import json
import re
from typing import Any, Final

from agentsquad.schemas import limits

MARK: Final = "[rehearsal]"
PARTS: Final = 50  # tasks that are made, at most
QUOTED: Final = 80  # characters of what is quoted
JOINED: Final = 400  # characters of a part's result
Context = dict[str, Any]


def line(value: Any, length: int) -> str:
    """A piece of text in one line, without the mark of whoever said it."""
    return _cut(_flat(value), length)


def quoted(value: Any, length: int = QUOTED) -> str:
    """The same, so that it ends no sentence."""
    return _cut(re.sub(r"[.!?…]+(?=\s|$)", "", _flat(value)), length)


def title(context: Context) -> str:
    """The task's title, as it is quoted."""
    return quoted(_task(context).get("title")) or "a task without a title"


def roles(context: Context) -> list[str]:
    """Roles of the team that can get a part: not the lead's own, and none that only persons have."""
    team = [member for member in context.get("team") or () if isinstance(member, dict)]
    found = {str(member.get("role") or "") for member in team if member.get("kind") != "person"}
    return sorted(found - {"", "lead"})[:PARTS]


def part_for(role: str, context: Context) -> Context:
    """The task that a role gets."""
    named = role.replace("_", " ")
    return {
        "title": quoted(f"{named.capitalize()}: {title(context)}", limits.TITLE),
        "description": f"{MARK} The part of the {named} in: {title(context)}.",
        "role": role,
    }


def contribution(context: Context) -> str:
    """Three sentences about a task."""
    you, before = dict(context.get("you") or {}), _several(context, "dependencies")
    name, role = quoted(you.get("name")), quoted(you.get("role"))
    who = f"{name} ({role})" if role and role != name else name
    known = "; ".join(
        f"#{each.get('number')} {quoted(each.get('title'))}: {quoted(each.get('result')) or 'no result'}"
        for each in before
    )
    return (
        f"{MARK} This is what {who or 'somebody'} says about “{title(context)}”. "
        f"It builds on {known or 'nothing that was done before'}. "
        "No model was asked, so this stands where an answer would."
    )


def joined(context: Context) -> str:
    """The results of the parts, together."""
    children = _several(context, "children")
    each = [
        f"- #{child.get('number')} {quoted(child.get('title'))} ({quoted(child.get('status'))}): "
        f"{line(child.get('result'), JOINED) or 'no result'}"
        for child in children
    ]
    parts = "one part" if len(children) == 1 else f"{len(children)} parts"
    return "\n".join([f"{MARK} “{title(context)}” in {parts}:", *each])


def review(context: Context) -> Context:
    """The arguments of an acceptance."""
    return {"accept": True, "note": f"{MARK} “{title(context)}” is accepted; no model has read it."}


def reviewed(context: Context) -> str:
    """What is left to say after a review."""
    return f"{MARK} “{title(context)}” was reviewed."


def waiting(context: Context) -> str:
    """What is left to say when the wait for the parts was over at once."""
    return f"{MARK} The parts of “{title(context)}” are with others."


def refusal(tool: str, said: str) -> str:
    """Why it ends early."""
    return f"{MARK} {quoted(tool)} was refused: {quoted(said, JOINED)}."


def _flat(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()).removeprefix(MARK).strip()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _task(context: Context) -> Context:
    task = context.get("task")
    return task if isinstance(task, dict) else {}


def _several(context: Context, name: str) -> list[Context]:
    return [each for each in context.get(name) or () if isinstance(each, dict)]
