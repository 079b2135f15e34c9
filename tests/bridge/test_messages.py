"""What is a message, and what is said of what is none."""

import json

import pytest

from agentsquad.bridge import messages
from agentsquad.bridge.messages import INVALID_REQUEST, PARSE_ERROR, Message, Refused

OBJECT = "This is no JSON-RPC message; send one object on each line."
JSON = "This line is no JSON in UTF-8; send one message on each."
ID = "The id is neither a text nor a whole number; give one of these."
METHOD = "A message names its method, which is a text."


@pytest.mark.parametrize(
    ("line", "code", "sentence", "id_"),
    [
        (b"{", PARSE_ERROR, JSON, None),
        (b"\xff\xfe{}", PARSE_ERROR, JSON, None),
        (b'{"id": 1', PARSE_ERROR, JSON, None),
        (b"[" * 200_000, PARSE_ERROR, JSON, None),
        (b'{"id": ' + b"9" * 5000 + b"}", PARSE_ERROR, JSON, None),
        (b"7", INVALID_REQUEST, OBJECT, None),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', INVALID_REQUEST, OBJECT, None),
        (b'{"id": null, "method": "ping"}', INVALID_REQUEST, ID, None),
        (b'{"id": true, "method": "ping"}', INVALID_REQUEST, ID, None),
        (b'{"id": 1.5, "method": "ping"}', INVALID_REQUEST, ID, None),
        (b'{"id": {}, "method": "ping"}', INVALID_REQUEST, ID, None),
        (b'{"id": 1}', INVALID_REQUEST, METHOD, 1),
        (b'{"id": "a", "method": 7}', INVALID_REQUEST, METHOD, "a"),
        (b"{}", INVALID_REQUEST, METHOD, None),
    ],
)
def test_what_is_no_message_is_refused(line: bytes, code: int, sentence: str, id_: object) -> None:
    with pytest.raises(Refused) as refused:
        messages.parse(line)
    assert json.loads(refused.value.line()) == {
        "jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": sentence}
    }  # fmt: skip


def test_a_message_goes_on_as_it_came() -> None:
    line = b' {"jsonrpc":"2.0", "id":"\\u0000", "method":"tools/call", "params": {"name": "claim_task", "x": 1e99}}\r'
    message = messages.parse(line)
    assert (message.text, message.id, message.method) == (line, "\0", "tools/call")
    assert (message.name, message.claims, message.version, message.cancels) == ("claim_task", True, None, None)


def test_an_answer_of_the_client_is_a_message_too() -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "result": {}}'
    assert messages.parse(line) == Message(line)


@pytest.mark.parametrize("params", ["null", "[]", "7", '{"_meta": 7}', '{"_meta": {}}', '{"name": 7, "requestId": []}'])
def test_parameters_that_make_no_sense_are_the_server_s_to_refuse(params: str) -> None:
    for method in ("tools/call", "resources/read", messages.CANCELLED):
        message = messages.parse(f'{{"id": 1, "method": "{method}", "params": {params}}}'.encode())
        assert (message.version, message.name, message.claims, message.cancels) == (None, None, False, None)


@pytest.mark.parametrize(
    ("method", "key"), [("tools/call", "name"), ("prompts/get", "name"), ("resources/read", "uri"), ("ping", None)]
)
def test_the_name_of_what_it_is_about(method: str, key: str | None) -> None:
    assert Message(b"", method, 1, {"name": "x", "uri": "y", "other": "z"}).name == (
        key and {"name": "x", "uri": "y"}[key]
    )


@pytest.mark.parametrize("text", ["", "<p>", "7", "[]", "{}", '{"id": 1}', "[" * 200_000])
def test_what_is_no_answer(text: str) -> None:
    assert messages.said(text) is None
