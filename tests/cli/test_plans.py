"""`asq task create --file`: whole plans in YAML."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Type

Say = Callable[..., str]
PLAN = """
tasks:
  - title: Find it
    key: find
    role: tester
  - title: Mend it
    key: mend
    depends_on: [find]
    priority: 0
    input: {page: 7}
  - title: Tell it
    depends_on: [mend, find]
    review: ""
"""


def test_a_plan_is_made_whole(say: Say, typed: Type, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    assert say("task", "create", "--file", str(tmp_path / "plan.yaml")) == (
        "#1 todo  Find it\n#2 blocked (dependencies)  Mend it\n#3 blocked (dependencies)  Tell it"
    )
    tasks = typed("task", "list", "--json").json
    assert [task["depends_on"] for task in tasks] == [[], [1], [1, 2]]
    assert (tasks[1]["input"], tasks[2]["review"]) == ({"page": 7}, "")


def test_the_tasks_of_a_plan_are_parts_of_another(say: Say, typed: Type) -> None:
    say("task", "create", "Whole")
    say("task", "create", "-f", "-", "--parent", "1", stdin=b"[{title: Part}, {title: Other, parent: null}]")
    assert [task["parent"] for task in typed("task", "list", "--json").json] == [None, 1, None]


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (b"a: [", "- is no YAML at line 1."),
        (b"", "- is no plan; a plan is a list of tasks, each with a title."),
        (b"[]", "- is no plan; a plan is a list of tasks, each with a title."),
        (b"just text", "- is no plan; a plan is a list of tasks, each with a title."),
        (b"[{title: a}, 7]", "- is no plan; a plan is a list of tasks, each with a title."),
        (b"[{title: a}, {titel: b}]", "Task 2 of -: title can't be used: Field required."),
        (b"[{title: a, colour: red}]", "Task 1 of -: colour can't be used: Extra inputs are not permitted."),
        (b"[{title: a, depends_on: [b]}]", "No task of this batch has the key b."),
        (b"[{title: 2026-01-01}]", "Task 1 of -: title can't be used: Input should be a valid string."),
        (b"[" * 5_000, "- is no YAML."),
        (b"&a [*a]", "- is no plan; a plan is a list of tasks, each with a title."),
        (b"!!python/object/apply:os.system [ls]", "- is no YAML at line 1."),
        (b"[{title: \xff}]", "standard input is no UTF-8; give it text."),
        (b"[{title: a, input: 2026-01-01}]", "Task 1 of -: input can't be used: is no JSON: it holds a date."),
        (b"[{title: a, input: {1: 2}}]", "Task 1 of -: input can't be used: is no JSON: a name in it is no text."),
        (b"[{title: a, input: &x [*x]}]", "Task 1 of -: input can't be used: at most 262144 bytes as JSON."),
    ],
)
def test_what_is_no_plan_is_one_sentence_and_makes_nothing(
    web: str, typed: Type, refused: Callable[..., str], plan: bytes, sentence: str
) -> None:
    assert refused(2, "task", "create", "--file", "-", stdin=plan) == sentence
    assert typed("task", "list", "--json").json == []
