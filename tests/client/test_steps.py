"""What a step and its cost say to a person, whatever is in it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agentsquad import spending, steps
from agentsquad.schemas.budgets import Budget, Spent
from agentsquad.schemas.steps import Step, StepKind
from agentsquad.steps import Part

NOW = datetime(2026, 11, 26, 9, 1, 12, tzinfo=UTC)
NONE = Budget(
    calls=0, tokens=0, cost=0, unpriced=0, max_calls=None, max_tokens=None, max_cost=None, reserved_calls=0,
    reserved_tokens=0, reserved_cost=0,
)  # fmt: skip


def step(kind: StepKind, content: Any = None, **more: Any) -> Step:
    given: dict[str, Any] = {
        "step": 1, "attempt": 1, "member": "ada", "kind": kind, "state": "finished", "name": "m:x", "content": content,
        "reserved_tokens": 8192, "reserved_cost": 0.05, "input_tokens": None, "output_tokens": None, "cost": None,
        "started_at": NOW, "ended_at": NOW,
    }  # fmt: skip
    return Step(**given | more)


def answered(*parts: Any) -> Step:
    return step("answer", {"message": {"parts": list(parts)}})


TEXT = {"part_kind": "text", "content": "I split\n it."}
THOUGHT = {"part_kind": "thinking", "content": "Shall I?"}
CALL = {"part_kind": "tool-call", "tool_name": "create_tasks", "args": {"tasks": ["¿a?"]}}


@pytest.mark.parametrize(
    ("given", "parts", "line"),
    [
        (step("prompt", {"text": "Go\n\non."}), [("", "Go\n\non.")], "Go on."),
        (step("summary", {"text": "So far.", "up_to": 3}), [("", "So far.")], "So far."),
        (
            answered(THOUGHT, TEXT, CALL),
            [("thinking", "Shall I?"), ("", "I split\n it."), ("calls", 'create_tasks {"tasks": ["¿a?"]}')],
            'I split it. calls create_tasks {"tasks": ["¿a?"]}',
        ),
        (answered(THOUGHT), [("thinking", "Shall I?")], "Shall I?"),
        (answered(THOUGHT | {"content": ""}, CALL | {"args": None}), [("calls", "create_tasks")], "calls create_tasks"),
        (answered(CALL | {"args": '{"x": 1}'}), [("calls", 'create_tasks {"x": 1}')], 'calls create_tasks {"x": 1}'),
        (answered(), [], ""),
        (step("answer", {"error": "429: later"}), [("error", "429: later")], "429: later"),
        (step("answer"), [], ""),
        (step("tool", {"arguments": {"a": 1}, "answer": 2}), [("arguments", '{"a": 1}')], '{"a": 1}'),
        (
            step("tool", {"arguments": "{}", "result": {"b": [None]}, "error": False}),
            [("arguments", "{}"), ("result", '{"b": [null]}')],
            '{"b": [null]}',
        ),
        (
            step("tool", {"arguments": {}, "result": "no", "error": True}),
            [("arguments", "{}"), ("error", "no")],
            "no",
        ),
        # What no runner has written is shown as it is.
        (step("prompt", "said"), [("", "said")], "said"),
        (step("prompt", {"text": 7}), [("", '{"text": 7}')], '{"text": 7}'),
        (step("answer", {"message": "hm"}), [("", '{"message": "hm"}')], '{"message": "hm"}'),
        (step("tool", [1]), [("", "[1]")], "[1]"),
        (
            answered({"part_kind": "file", "content": 7}, "x", TEXT | {"content": None}),
            [
                ("file", '{"part_kind": "file", "content": 7}'),
                ("", "x"),
                ("text", '{"part_kind": "text", "content": null}'),
            ],
            '{"part_kind": "file", "content": 7} x {"part_kind": "text", "content": null}',
        ),
    ],
)
def test_a_step_in_words(given: Step, parts: list[tuple[str, str]], line: str) -> None:
    assert steps.parts(given) == [Part(*part) for part in parts]
    assert steps.line(given) == line


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "$0.00"), (0.0042, "$0.0042"), (0.42, "$0.42"), (5, "$5.00"), (1234.5, "$1,234.50"), (1e6, "$1,000,000.00"),
        (0.00001, "under $0.0001"), (0.1 + 0.2, "$0.30"), (0.0001, "$0.0001"),
    ],
)  # fmt: skip
def test_dollars(amount: float, said: str) -> None:
    assert spending.dollars(amount) == said


@pytest.mark.parametrize(
    ("cost", "unpriced", "said"),
    [
        (0, 0, "$0.00"), (0.42, 0, "$0.42"), (0.42, 3, "$0.42 + 3 calls of unknown price"),
        (0, 1, "1 call of unknown price"), (0, 1200, "1,200 calls of unknown price"),
    ],
)  # fmt: skip
def test_an_unknown_price_is_said_to_be_unknown(cost: float, unpriced: int, said: str) -> None:
    assert spending.cost(Spent(calls=2000, tokens=9, cost=cost, unpriced=unpriced)) == said


def test_what_is_spent_stands_beside_what_may_be() -> None:
    assert spending.amounts(NONE) == ("0", "0", "$0.00")
    spent = {"calls": 12, "tokens": 34_567, "cost": 0.42, "unpriced": 3}
    limits = {"max_calls": 1_000, "max_tokens": 200_000, "max_cost": 5}
    reserved = {"reserved_calls": 2, "reserved_tokens": 16_384, "reserved_cost": 0.1}
    assert spending.amounts(NONE.model_copy(update=spent | limits)) == (
        "12 of 1,000", "34,567 of 200,000", "$0.42 of $5.00 + 3 calls of unknown price"
    )  # fmt: skip
    assert spending.amounts(NONE.model_copy(update={"unpriced": 1}))[2] == "1 call of unknown price"
    assert spending.amounts(NONE.model_copy(update=reserved | {"max_cost": 0, "max_calls": 0})) == (
        "0 + 2 under way of 0", "0 + 16,384 under way", "$0.00 + $0.10 under way of $0.00"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "tokens", "cost"),
    [
        (step("prompt"), "", ""),
        (step("tool"), "", ""),
        (step("answer", state="started", ended_at=None), "up to 8,192", "up to $0.05"),
        (step("answer", state="started", ended_at=None, reserved_cost=None), "up to 8,192", "unknown"),
        (step("answer", state="unknown"), "up to 8,192", "up to $0.05"),
        (step("answer", input_tokens=1200, output_tokens=34, cost=0.0042), "1,234", "$0.0042"),
        (step("summary", input_tokens=1200), "1,200", "unknown"),
        (step("answer", input_tokens=0, output_tokens=0, cost=0), "0", "$0.00"),
    ],
)
def test_what_a_step_took(given: Step, tokens: str, cost: str) -> None:
    assert (spending.tokens_of(given), spending.cost_of(given)) == (tokens, cost)
