"""What a command reads of its task, and how what it prints is understood."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from agentsquad.cli import prompts
from agentsquad.schemas.messages import Received
from agentsquad.schemas.tasks import Claim

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claim(kind: str = "work", **task: Any) -> Claim:
    facts = {
        "squad": uuid4(), "number": 7, "title": "Mend the cart", "description": "", "input": {},
        "status": "in_progress", "blocked_on": None, "blocked_by": None, "role": "", "assignee": None, "review": None,
        "holder": "ada", "attempt": 1, "tries_left": 3, "rejections": 0, "priority": 2, "depends_on": [],
        "parent": None, "result": None, "created_by": "owner", "created_at": NOW, "updated_at": NOW,
        "lease_ends_at": NOW, "why": "",
    }  # fmt: skip
    return Claim.model_validate(
        {"claim": "7/1", "kind": kind, "lease_seconds": 60, "task": facts | task, "dependencies": [], "children": []}
    )


def result(number: int, title: str, result: Any, status: str = "done") -> dict[str, Any]:
    return {
        "number": number, "title": title, "role": "", "status": status, "holder": "tess", "attempt": 1, "result": result
    }  # fmt: skip


def test_a_prompt_has_everything_in_order() -> None:
    given = claim(description="Soon.", input={"page": 7}).model_dump()
    given["dependencies"] = [result(5, "Find it", "the cookie")]
    given["children"] = [result(8, "Keep the name?", None, "cancelled")]
    message = Received(
        position=3, sender="tess", to="ada", task=7, body="Hurry.", recipients=["ada"], at=NOW, read_at=None,
        acknowledged_at=None,
    )  # fmt: skip
    assert prompts.prompt(Claim.model_validate(given), "You are a tester.", [message]) == (
        "You are a tester.\n\n"
        "# Task #7: Mend the cart\n\n"
        "Soon.\n\n"
        '## Input\n{\n  "page": 7\n}\n\n'
        "## Result of #5: Find it\nthe cookie\n\n"
        "## Part #8: Keep the name? (cancelled)\nnull\n\n"
        "## Unread messages\ntess about #7: Hurry.\n"
    )


def test_the_prompt_of_a_bare_task_is_its_title() -> None:
    assert prompts.prompt(claim()) == "# Task #7: Mend the cart\n"


def test_a_review_shows_the_result_and_asks_for_a_verdict() -> None:
    said = prompts.prompt(claim("review", result={"lines": 2}))
    assert said.startswith("# Review of task #7: Mend the cart\n\n## Result\n{\n")
    assert said.endswith(prompts.REVIEW + "\n")


@pytest.mark.parametrize(
    ("out", "verdict"),
    [
        (b"ACCEPT", (True, "")),
        (b"accept: well done\nindeed", (True, "well done\nindeed")),
        (b"\n **REJECT** the date is missing", (False, "the date is missing")),
        (b"Reject.", (False, "")),
        (b"I accept this", None),
        (b"ACCEPTABLE", None),
        (b"", None),
        (b"\xff\x00", None),
    ],
)
def test_a_verdict_is_the_first_word(out: bytes, verdict: tuple[bool, str] | None) -> None:
    assert prompts.verdict(out) == verdict


def test_the_task_file_holds_the_task_and_the_claim() -> None:
    with prompts.task_file(prompts.document(claim(title="Käse \u2028"))) as file:
        whole = json.loads(file.read_bytes())
        assert (file.stat().st_mode & 0o777) == 0o600
    assert (whole["number"], whole["title"], whole["claim"], whole["kind"]) == (7, "Käse \u2028", "7/1", "work")
    assert not file.exists()


def test_a_prompt_names_what_is_reserved() -> None:
    given = claim().model_copy(update={"paths": ["src/", "*.md"]})
    said = "Change nothing but what is at these paths; it is reserved for you until you are done.\nsrc/\n*.md\n"
    assert prompts.prompt(given).endswith(said)
    assert json.loads(prompts.document(given))["paths"] == ["src/", "*.md"]
    assert "Paths" not in prompts.prompt(claim())
