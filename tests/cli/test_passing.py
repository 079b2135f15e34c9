"""What is said just now is one line of a terminal, and leaves nothing behind."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agentsquad.cli.passing import KEPT, Passing, Speaking
from agentsquad.client.events import EVENT
from agentsquad.schemas.events import Event
from agentsquad.schemas.steps import StepText


def piece(text: str, offset: int = 0, task: int = 1, step: int = 1) -> StepText:
    return StepText(task=task, attempt=1, member="ada", step=step, offset=offset, text=text)


def shown(speaking: Speaking, *pieces: StepText, width: int = 60) -> str | None:
    """The line after these."""
    line = None
    for each in pieces:
        line = speaking.hear(each)
    if line is None:
        return None
    screen = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    with screen.capture() as said:
        screen.print(line, end="")
    return said.get()


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        ([piece("It is "), piece("the cookie.", 6)], "ada, #1: It is the cookie."),
        ([piece("It is "), piece("a log", 6), piece("The log.")], "ada, #1: The log."),
        ([piece("It is "), piece("")], "ada, #1: "),
        ([piece("It is "), piece("cookie.", 10)], "ada, #1: It is … cookie."),
        ([piece("cookie.", 10)], "ada, #1: … cookie."),
        ([piece("one"), piece("two", step=2)], "ada, #1: two"),
        ([piece("one"), piece("two", 7, step=2)], "ada, #1: … two"),
        ([piece("one"), piece("of two", task=2), piece("!", 3)], "ada, #1: one!"),
        ([piece("a\nb\t[red]c\x1b[2J\u202e")], "ada, #1: a b [red]c�[2J�"),
    ],
)
def test_a_line_says_what_came_so_far(pieces: list[StepText], line: str) -> None:
    assert shown(Speaking(), *pieces) == line


@pytest.mark.parametrize("letter", ["x", "字", "💥", "e\u0301"])
@pytest.mark.parametrize("width", [9, 10, 11, 20, 79])
def test_a_line_is_no_longer_than_the_terminal_and_shows_the_end(letter: str, width: int) -> None:
    line = shown(Speaking(), piece(letter * 5_000), width=width)
    assert line is not None
    assert cell_len(line) < width
    assert line.endswith(letter) == (width > 11)


def test_little_is_kept_of_an_answer_of_any_length() -> None:
    speaking = Speaking()
    for place in range(0, 100 * KEPT, KEPT):
        speaking.hear(piece("x" * KEPT, place))
    assert [len(text) for _, _, text in speaking._said.values()] == [KEPT]


def test_what_comes_after_its_step_has_ended_is_not_shown() -> None:
    speaking = Speaking()
    assert shown(speaking, piece("It is ", step=2))
    assert not speaking.end(ended(1))
    assert speaking.end(ended(2))
    assert not speaking.end(ended(2))
    assert shown(speaking, piece("late", 6, step=2)) is None
    assert shown(speaking, piece("next", step=3)) == "ada, #1: next"


def ended(step: int) -> Event:
    data = {"step": step, "attempt": 1, "member": "ada", "kind": "answer", "state": "finished", "name": "m:x",
            "content": None, "reserved_tokens": 1, "reserved_cost": None, "input_tokens": 1, "output_tokens": 1,
            "cost": None, "started_at": "2026-11-26T00:00:00Z", "ended_at": "2026-11-26T00:00:00Z"}  # fmt: skip
    return EVENT.validate_python(
        {"position": 9, "kind": "step.ended", "at": "2026-11-26T00:00:00Z", "actor": {"member": "ada", "user": None},
         "task": 1, "attempt": 1, "data": data}
    )  # fmt: skip


def test_a_line_replaces_the_one_before_and_goes() -> None:
    screen = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None, legacy_windows=False)
    with screen.capture() as said, Passing(screen) as passing:
        passing.show(None)
        passing.show(Text("one", end=""))
        passing.show(Text("two", end=""))
    assert said.get() == "\x1b[2Kone\r\x1b[2Ktwo\r\x1b[2K"


def test_what_is_no_terminal_gets_none() -> None:
    screen = Console(file=io.StringIO())
    with screen.capture() as said, Passing(screen) as passing:
        passing.show(Text("one"))
    assert said.get() == ""
