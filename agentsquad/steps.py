"""What a step of a hosted member says to a person: told, thought, said, called and answered, part by part.

What a journal holds may come from a file of anybody's: what has another shape is shown as the JSON that it is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentsquad.schemas.steps import Step


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a step.

    Args:
        label: what it is; empty for what was told or said.
        text: all of it.
    """

    label: str
    text: str


def parts(step: Step) -> list[Part]:
    """A step, whole."""
    return list(_parts(step))


def line(step: Step) -> str:
    """A step on one line: what came of it, else what it is about. Thoughts are left out where something was said."""
    found = parts(step)
    if step.kind == "tool":
        found = found[-1:]
    said = [part for part in found if part.label != "thinking"] or found
    return " ".join(
        " ".join(f"{part.label} {part.text}" if part.label == "calls" else part.text for part in said).split()
    )


def _parts(step: Step) -> Iterator[Part]:
    match step.kind, step.content:
        case _, None:
            pass
        case "prompt" | "summary", {"text": str(text)}:
            yield Part("", text)
        case "answer" | "summary", {"error": error}:
            yield Part("error", _text(error))
        case "answer", {"message": {"parts": list(given)}}:
            for part in given:
                yield from _answered(part)
        case "tool", {"arguments": arguments}:
            yield Part("arguments", _text(arguments))
            if "result" in step.content:
                yield Part("error" if step.content.get("error") else "result", _text(step.content["result"]))
        case _:
            yield Part("", _text(step.content))


def _answered(part: Any) -> Iterator[Part]:
    match part:
        case {"part_kind": "text", "content": str(text)}:
            yield Part("", text)
        case {"part_kind": "thinking", "content": str(text)}:
            if text.strip():  # a provider may keep its thoughts to itself
                yield Part("thinking", text)
        case {"part_kind": "tool-call", "tool_name": str(name)}:
            arguments = part.get("args")
            yield Part("calls", f"{name} {_text(arguments)}" if arguments else name)
        case {"part_kind": str(kind)}:
            yield Part(kind, _text(part))
        case _:
            yield Part("", _text(part))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
