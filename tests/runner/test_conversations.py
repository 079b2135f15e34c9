"""What is due next follows from the journal alone, wherever it was cut off."""

from typing import Any

import pytest
from pydantic_ai.messages import ModelRequest, ModelResponse, ToolReturnPart, UserPromptPart

from agentsquad.schemas.steps import Step
from backend.runner.conversations import NOT_DONE, SUMMARY, UNKNOWN, Conversation, fold
from tests.runner.steps import answer, prompt, step, tool

LOOK, SEND = ("get_task", {"number": 1}), ("send_message", {"body": "x"})


def heard(conversation: Conversation) -> list[str]:
    """What the model hears, in short."""
    found: list[str] = []
    for message in conversation.messages:
        for part in message.parts:
            match part:
                case UserPromptPart():
                    found.append(f"told {part.content}")
                case ToolReturnPart():
                    found.append(f"{part.outcome} {part.content}")
                case _:
                    found.append("said")
    return found


def due(*steps: Step) -> Any:
    """What comes next."""
    conversation = fold(steps)
    return [call.index for call in conversation.pending] or conversation.final


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([prompt(1)], None),
        ([prompt(1), answer(2, LOOK, SEND)], [0, 1]),
        ([prompt(1), answer(2, LOOK, SEND), tool(3, 2, 0, "get_task")], [1]),
        ([prompt(1), answer(2, LOOK, SEND), tool(3, 2, 0, "a"), tool(4, 2, 1, "b")], None),
        ([prompt(1), answer(2, LOOK), step(3, "tool", tool(3, 2, 0, "a").content, state="unknown")], None),
        ([prompt(1), answer(2, " the end ")], "the end"),
        ([prompt(1), answer(2, "")], ""),
        ([prompt(1), answer(2, "the end"), prompt(3, "and then?")], None),
        ([prompt(1), answer(2, "x", state="unknown")], None),
        ([prompt(1), step(2, "answer", {"error": "no"}, state="failed")], None),
        ([prompt(1), answer(2, LOOK, SEND), tool(3, 2, 0, "wait_for_children", ends=True)], None),
    ],
)
def test_what_is_due_next(steps: list[Step], expected: Any) -> None:
    assert due(*steps) == expected


def test_results_stand_in_the_order_of_the_calls_before_anything_new() -> None:
    steps = [prompt(1), answer(2, LOOK, SEND), tool(3, 2, 0, "a", "one"), tool(4, 2, 1, "b", "two", error=True)]
    conversation = fold([*steps, prompt(5, "news")])
    assert heard(conversation) == ["told do it", "said", "said", "success one", "failed two", "told news"]
    assert [type(message) for message in conversation.messages] == [ModelRequest, ModelResponse, ModelRequest]


def test_what_nobody_knows_is_told_as_unknown_and_not_made_again() -> None:
    lost = step(3, "tool", {"answer": 2, "index": 0, "arguments": {}}, state="unknown", name="pay")
    assert heard(fold([prompt(1), answer(2, LOOK), lost]))[-1] == f"failed {UNKNOWN}"


def test_calls_after_the_one_that_ended_the_attempt_are_not_made() -> None:
    ended = tool(3, 2, 0, "wait_for_children", "waiting", ends=True)
    conversation = fold([prompt(1), answer(2, LOOK, SEND), ended, prompt(4, "again")])
    assert conversation.pending == []
    assert heard(conversation)[-3:] == ["success waiting", f"failed {NOT_DONE}", "told again"]


def test_a_summary_stands_for_what_came_before_but_the_task_stays() -> None:
    steps = [prompt(1, "the task"), answer(2, LOOK), tool(3, 2, 0, "a", "old")]
    steps += [answer(4, SEND), tool(5, 4, 0, "b", "new"), step(6, "summary", {"text": "all of it", "up_to": 3})]
    assert heard(fold(steps)) == ["told the task", f"told {SUMMARY}all of it", "said", "success new"]
    lost = step(6, "summary", {"up_to": 3}, state="unknown")
    assert len(heard(fold([*steps[:-1], lost]))) == 5
