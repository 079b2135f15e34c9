"""What is summed up is what no summary stands for yet, and a summary says something."""

from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.test import TestModel

from agentsquad.schemas.hosting import Hosting, ModelSettings
from agentsquad.schemas.steps import Step
from backend.runner import summaries
from backend.runner.questions import Question
from tests.runner.steps import answer, prompt, step, tool

WINDOW = 1_000
QUESTION = Question("m:x", Hosting(settings=ModelSettings(window=WINDOW)), TestModel(), ModelRequestParameters(), "")


class Told:
    """A journal, as far as it matters here."""

    def __init__(self, *steps: Step) -> None:
        self.heard = [*steps]


def exchanges(first: int, last: int) -> list[Step]:
    """Answers with a call each, of which a few fill the window."""
    pairs = [(answer(at, ("look", {})), tool(at + 1, at, 0, "look", "word " * 50)) for at in range(first, last, 2)]
    return [each for pair in pairs for each in pair]


def summed_up(*steps: Step) -> tuple[list[int], int]:
    """Which steps the question quotes, and up to where its answer stands for them."""
    question, kind, (heard,), content = summaries.prepared(QUESTION, Told(*steps))  # type: ignore[arg-type]
    assert (question.parameters, kind) == (ModelRequestParameters(), "summary")
    quoted = str(heard.parts)
    assert "(cut:" not in quoted
    return [each.step for each in steps if f'"step": {each.step},' in quoted], content["up_to"]


def test_a_summary_goes_on_from_the_last_one_that_came_to_be() -> None:
    done = step(10, "summary", {"up_to": 5, "text": "so far"})
    lost = step(17, "summary", {"up_to": 12}, state="unknown")
    quoted, up_to = summed_up(prompt(1), *exchanges(2, 10), done, *exchanges(11, 17), lost, *exchanges(18, 24))
    assert (quoted[:2], up_to > 6) == ([6, 7], True)


def test_a_summary_stands_for_what_it_has_seen_and_no_more() -> None:
    quoted, up_to = summed_up(prompt(1), *exchanges(2, 40))
    assert quoted == list(range(2, up_to + 1))
    assert up_to % 2 == 1  # whole exchanges


def test_a_summary_without_words_stands_for_nothing() -> None:
    empty = QUESTION.answered(ModelResponse([TextPart(" ")]), {"up_to": 5})
    assert (empty.state, empty.content) == ("failed", {"up_to": 5, "error": "The model summed up nothing."})
    said = QUESTION.answered(ModelResponse([TextPart("so far")]), {"up_to": 5})
    assert (said.state, said.content) == ("finished", {"up_to": 5, "text": "so far"})
