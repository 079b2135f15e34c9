import json

import pytest
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse, TextPart, ThinkingPart, ToolCallPart

from backend.runner import cleaning


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ("", ""),
        ("as it was ✓ 😀", "as it was ✓ 😀"),
        ("a\0b", "ab"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("a\ud800", "a\ufffd"),
    ],
)
def test_a_text_can_be_stored(found: str, kept: str) -> None:
    assert cleaning.text(found) == kept


def test_an_answer_that_can_be_stored_stays_the_same() -> None:
    found = ModelResponse(parts=[TextPart("a\\u0000 ✓"), ToolCallPart("t", {"a": [1, None]})])
    assert cleaning.response(found) == found
    plain = ModelResponse(parts=[TextPart("a")])
    assert cleaning.response(plain) is plain


def test_an_answer_that_cannot_is_made_so_in_all_its_parts() -> None:
    found = ModelResponse(
        parts=[
            TextPart("a\0"),
            ThinkingPart("\ud800b"),
            ToolCallPart("t\0", {"a\0": ["\ud800"]}, tool_call_id="\0x"),
            ToolCallPart("t", '{"a": "\0"}', tool_call_id="y"),
        ],
        provider_details={"raw": "\0"},
        model_name="m\0",
    )
    stored = ModelMessagesTypeAdapter.dump_json([cleaning.response(found)])
    assert b"\\u0000" not in stored
    (kept,) = ModelMessagesTypeAdapter.validate_json(stored)
    assert isinstance(kept, ModelResponse)
    assert [part.part_kind for part in kept.parts] == ["text", "thinking", "tool-call", "tool-call"]
    assert json.loads(stored)[0]["parts"][2]["args"] == {"a": ["\ufffd"]}
    assert kept.model_name == "m"


def test_what_is_no_number_is_nothing() -> None:
    assert cleaning.json({"a": [float("nan"), float("-inf"), 1.5, True, None]}) == {"a": [None, None, 1.5, True, None]}
