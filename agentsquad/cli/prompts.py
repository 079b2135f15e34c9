"""What a command is told of its task, and how what it prints is understood."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from agentsquad.cli import processes
from agentsquad.client import Invalid
from agentsquad.schemas.messages import Received
from agentsquad.schemas.tasks import Claim, TaskResult

REVIEW: Final = (
    "Review the result above. Begin what you print with the word ACCEPT or REJECT; after it say, for whoever did the "
    "work, what is good or what has to change."
)
RESERVED: Final = "## Paths\nChange nothing but what is at these paths; it is reserved for you until you are done."


def prompt(claim: Claim, instructions: str = "", messages: Sequence[Received] = ()) -> str:
    """The task as a text for a language model.

    Args:
        claim: the task that is held.
        instructions: what its member should know of its work.
        messages: what others wrote to the member, and it hasn't read.
    """
    task = claim.task
    what = "Review of task" if claim.kind == "review" else "Task"
    parts = [instructions, f"# {what} #{task.number}: {task.title}", task.description]
    if task.input:
        parts.append(f"## Input\n{_text(task.input)}")
    parts += [_result("Result of", done) for done in claim.dependencies]
    parts += [_result("Part", done) for done in claim.children]
    if claim.paths:
        parts.append("\n".join([RESERVED, *claim.paths]))
    if messages:
        parts.append("## Unread messages\n" + "\n\n".join(_message(message) for message in messages))
    if claim.kind == "review":
        parts += [f"## Result\n{_text(task.result)}", REVIEW]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def document(claim: Claim) -> bytes:
    """The task and its claim as JSON.

    Raises:
        RecursionError, ValueError: what it builds on is nested too deeply.
    """
    whole = claim.model_dump(mode="json")
    return json.dumps(whole.pop("task") | whole, ensure_ascii=False).encode()


@contextlib.contextmanager
def task_file(whole: bytes) -> Iterator[Path]:
    """A file with the task, as long as it is worked on."""
    with tempfile.NamedTemporaryFile(prefix="squad-task-", suffix=".json") as file:
        file.write(whole)
        file.flush()
        yield Path(file.name)


def result(out: bytes) -> Any:
    """What a command printed: JSON objects and arrays as what they are, if JSON can say them again; else text.

    Raises:
        Invalid: it is too long to be looked at.
    """
    if len(out) > processes.KEPT:
        raise Invalid("invalid", f"it printed more than {processes.KEPT} bytes.")
    text = printed(out)
    if text.startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):  # no JSON, NaN, or nested too deeply
            value = json.loads(text)
            json.dumps(value, allow_nan=False)
            return value
    return text


def verdict(out: bytes) -> tuple[bool, str] | None:
    """What a review came to: whether the result is accepted, and the note; None if it didn't say."""
    word, *note = printed(out).split(maxsplit=1)[:2] or [""]
    said = word.strip("*:.,!# ").upper()
    return (said == "ACCEPT", "".join(note)) if said in {"ACCEPT", "REJECT"} else None


def printed(raw: bytes) -> str:
    """Output as text that can be kept."""
    return raw.decode(errors="replace").replace("\x00", "�").strip()


def _result(what: str, done: TaskResult) -> str:
    status = "" if done.status == "done" else f" ({done.status.replace('_', ' ')})"
    return f"## {what} #{done.number}: {done.title}{status}\n{_text(done.result)}"


def _message(message: Received) -> str:
    about = f" about #{message.task}" if message.task else ""
    return f"{message.sender or 'The server'}{about}: {message.body}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
