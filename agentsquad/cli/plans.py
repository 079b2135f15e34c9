"""What a command is given to read: texts, values, and whole plans in YAML."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from agentsquad.client import Invalid, checked
from agentsquad.schemas.tasks import TaskNew


def text(given: str | None) -> str | None:
    """A text as it is, what is in the file that `@FILE` names, or what `-` reads."""
    if given is not None and (given == "-" or given.startswith("@")):
        return file(given.removeprefix("@"))
    return given


def file(name: str) -> str:
    """What is in a file of text, or for `-` on standard input.

    Raises:
        Invalid: it can't be read.
    """
    if name == "-":
        return _decoded(sys.stdin.buffer.read(), "standard input")
    try:
        return _decoded(Path(name).expanduser().read_bytes(), name)
    except (OSError, RuntimeError) as error:  # the latter for the home of nobody, as in ~nobody
        raise Invalid("invalid", f"{name} can't be read ({error}); name a file of text.") from error


def value(given: str | None) -> Any:
    """JSON objects and arrays as what they are, everything else as text."""
    found = text(given)
    if found is not None and found.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(found)
    return found


def read(name: str, parent: int | None = None) -> list[TaskNew]:
    """The tasks of a plan: a list of tasks in YAML, or an object whose `tasks` is one.

    Args:
        name: of the file; `-` reads standard input.
        parent: whose parts they are, unless they say otherwise.

    Raises:
        Invalid: it is no plan; the sentence says where.
    """
    try:
        found = yaml.safe_load(file(name))
    except (yaml.YAMLError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place else ""
        raise Invalid("invalid", f"{name} is no YAML{where}.") from error
    tasks = found.get("tasks") if isinstance(found, dict) else found
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
        raise Invalid("invalid", f"{name} is no plan; a plan is a list of tasks, each with a title.")
    new = []
    for place, task in enumerate(tasks, start=1):
        fields = {str(field): given for field, given in task.items()}
        if parent is not None:
            fields.setdefault("parent", parent)
        try:
            new.append(checked(TaskNew, **fields))
        except Invalid as error:
            raise Invalid("invalid", f"Task {place} of {name}: {error.detail}") from error
    return new


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Invalid("invalid", f"{name} is no UTF-8; give it text.") from error
