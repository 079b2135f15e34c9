"""Whether what a model was told of its task is what the task still says."""

from typing import Any

import pytest

from backend.runner import prompts

TASK: dict[str, Any] = {"number": 1, "attempt": 1, "title": "bread", "description": "é" * 30_000, "input": {"a": [1.0]}}
ME = {"name": "ada", "role": "baker"}


def told(**changed: Any) -> str:
    """A prompt that tells of the task."""
    whole = TASK | {"created_by": "owner", "parent": None, "result": None} | changed
    return prompts.task({"kind": "work", "task": whole, "dependencies": [], "children": []}, ME, [], [], again=False)


def test_a_new_attempt_changes_no_words() -> None:
    assert prompts.stands(told(attempt=2), TASK)


@pytest.mark.parametrize("changed", [{"title": "cake"}, {"description": ""}, {"input": {"a": [2]}}])
def test_words_that_were_changed_stand_no_more(changed: dict[str, Any]) -> None:
    assert not prompts.stands(told(), TASK | changed)


@pytest.mark.parametrize("text", ["", "do it", "do it\n\n{", "x\n\n[]", "x\n\n{}", 'x\n\n{"task": 1}'])
def test_what_tells_of_no_task_stands_for_none(text: str) -> None:
    assert not prompts.stands(text, TASK)
