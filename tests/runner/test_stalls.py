"""Loops are seen without a model, and who waits for a reason is left alone."""

from typing import Any

import pytest

from backend.runner import stalls
from tests.runner.steps import answer, prompt, tool


def attempts(*ended: tuple[str, str]) -> list[dict[str, Any]]:
    """Attempts by member and outcome."""
    return [{"member": member, "outcome": outcome} for member, outcome in ended]


def test_the_same_call_for_the_fourth_time_running() -> None:
    steps = [prompt(1), *(tool(number, 0, 0, "look", arguments={"a": [1]}) for number in (2, 3, 4))]
    assert (
        stalls.repeats(steps, "look", {"a": [1]}) == "it calls look with the same arguments for the 4th time running."
    )
    assert stalls.repeats(steps[:-1], "look", {"a": [1]}) is None


@pytest.mark.parametrize(
    ("name", "arguments", "between"),
    [
        ("look", {"a": 2}, []),
        ("other", {"a": 1}, []),
        ("look", {"a": 1}, [tool(5, 0, 0, "other")]),
        ("look", {"a": 1}, [prompt(5, "a message")]),
    ],
)
def test_who_looks_again_at_something_else_or_for_a_reason_is_left_alone(
    name: str, arguments: dict[str, Any], between: list[Any]
) -> None:
    steps = [prompt(1), *(tool(number, 0, 0, "look", arguments={"a": 1}) for number in (2, 3, 4)), *between]
    assert stalls.repeats(steps, name, arguments) is None
    assert stalls.repeats([*steps, answer(9, "hm")], name, arguments) is None


def test_a_task_that_goes_to_and_fro() -> None:
    handed = attempts(("ada", "handed_off"), ("bob", "handed_off"), ("ada", "handed_off"))
    assert stalls.to_and_fro(handed) == "ada and bob have handed it to each other 3 times without a new result."


@pytest.mark.parametrize(
    "ended",
    [
        [],
        [("ada", "handed_off"), ("bob", "handed_off")],
        [("ada", "handed_off"), ("bob", "handed_off"), ("cleo", "handed_off")],
        [("ada", "handed_off"), ("ada", "handed_off"), ("ada", "handed_off")],
        [("ada", "handed_off"), ("bob", "waiting"), ("ada", "handed_off")],
        [("ada", "handed_off"), ("bob", "handed_off"), ("ada", "handed_off"), ("bob", "blocked")],
        [("ada", "handed_off"), ("bob", "handed_off"), ("ada", "completed")],
    ],
)
def test_who_hands_on_for_a_reason_is_left_alone(ended: list[tuple[str, str]]) -> None:
    assert stalls.to_and_fro(attempts(*ended)) is None


def idling(*called: str) -> str | None:
    """Attempts of ada, each with one call."""
    ended = [{"member": "ada", "outcome": "waiting", "attempt": number} for number, _ in enumerate(called, 1)]
    steps = [tool(number + 1, number, 0, name, attempt=number) for number, name in enumerate(called, 1) if name]
    return stalls.idle(ended, steps)


def test_a_task_that_is_only_taken_and_let_go() -> None:
    said = "ada has taken it 3 times running, and did nothing but let it go again."
    assert idling("create_tasks", *["wait_for_children"] * 3) == said
    assert idling(*["handoff_task"] * 3) == said


@pytest.mark.parametrize(
    "called",
    [
        ["wait_for_children"] * 2,
        ["wait_for_children", "create_tasks", "wait_for_children"],
        ["ask_human"] * 3,
        [""] * 3,
    ],
)
def test_who_waits_for_something_new_is_left_alone(called: list[str]) -> None:
    assert idling(*called) is None


def test_what_several_members_let_go_is_left_alone() -> None:
    ended = [{"member": name, "outcome": "handed_off", "attempt": number} for number, name in enumerate("aba", 1)]
    assert stalls.idle(ended, [tool(number, 0, 0, "handoff_task", attempt=number) for number in (1, 2, 3)]) is None


def test_thirty_steps_of_which_nobody_sees_anything() -> None:
    assert stalls.quiet(30) == "30 steps brought nothing that the squad could see."
    assert stalls.quiet(29) is None
