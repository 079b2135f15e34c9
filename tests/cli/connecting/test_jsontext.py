"""One value of a text of JSON is changed, and every other character stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsquad.cli.connecting import jsontext

ENTRY = {"command": "/a b/ü", "args": ["mcp"]}


@pytest.mark.parametrize(
    "text",
    [
        "{}", "{}\n", "{\n}\n", '{"a": 1}', '{"a":1,"b":[]}', '{\n    "a": 1\n}\n',
        '{\n\t"a": {\n\t\t"b": null\n\t}\n}',
        '{\r\n  "a": "\\u00e9{}[],",\r\n  "c": [1,\r\n    2]\r\n}\r\n', '{"a": {"b": 1}}', '\n  {"a":{}}  ',
        '{"a": 1, "a": 2}', '{\n  "servers": {\n    "x": {"command": "y"}\n  },\n  "last": true\n}\n',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [("servers", "mine"), ("new",), ("list", 0), ("a2", "b2", "c2", 0)])
def test_what_is_added_can_be_taken_out_again(text: str, path: tuple[jsontext.Key, ...]) -> None:
    added = jsontext.put(text, path, ENTRY)
    found = json.loads(added)
    for key in path:
        found = found[key]
    assert found == ENTRY
    without = added
    for depth in range(len(path), 0, -1):
        without = jsontext.drop(without, path[:depth])
        holder = json.loads(text)
        for key in path[: depth - 1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if holder:
            break
    assert json.loads(without) == json.loads(text)
    assert without == text or (without, json.loads(text)) == (text.replace("{\n}", "{}"), {})


def test_the_layout_of_the_file_is_kept() -> None:
    assert (
        jsontext.put('{\n\t"a": 1\n}\n', ("b",), {"c": [2]})
        == '{\n\t"a": 1,\n\t"b": {\n\t\t"c": [\n\t\t\t2\n\t\t]\n\t}\n}\n'
    )
    assert jsontext.put('{"a": 1}', ("b",), {"c": [2]}) == '{"a": 1, "b": {"c": [2]}}'
    assert jsontext.put('{\r\n    "a": {}\r\n}', ("a", "b"), 1) == (
        '{\r\n    "a": {\r\n        "b": 1\r\n    }\r\n}'
    )  # fmt: skip


def test_a_value_is_replaced_where_it_stands() -> None:
    assert jsontext.put('{"a": [1, {"b": 2}] , "c": 3}', ("a", 1, "b"), None) == '{"a": [1, {"b": null}] , "c": 3}'


def test_a_part_is_taken_out_from_wherever_it_stands() -> None:
    text = '{"a": 1, "b": 2 ,\n "c": [1, 2, 3]}'
    assert jsontext.drop(text, ("a",)) == '{"b": 2 ,\n "c": [1, 2, 3]}'
    assert jsontext.drop(text, ("b",)) == '{"a": 1 ,\n "c": [1, 2, 3]}'
    assert jsontext.drop(text, ("c", 1)) == '{"a": 1, "b": 2 ,\n "c": [1, 3]}'
    with pytest.raises(KeyError):
        jsontext.drop(text, ("x", "y"))
    with pytest.raises(KeyError):
        jsontext.drop(text, ("x",))


@pytest.mark.parametrize(("text", "path"), [("[]", ("a",)), ('{"a": 1}', ("a", "b")), ('{"a": {}}', ("a", 0))])
def test_what_holds_nothing_by_name_is_refused(text: str, path: tuple[jsontext.Key, ...]) -> None:
    with pytest.raises(TypeError, match="is of another kind"):
        jsontext.put(text, path, 1)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from([None, 0, 2, "\t"]), st.text(), st.booleans())
def test_any_text_says_the_same_but_for_the_change(
    data: dict[str, Any], indent: int | str | None, key: str, ascii_only: bool
) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    changed = jsontext.put(text, (key,), ENTRY)
    assert json.loads(changed) == data | {key: ENTRY}
    if key not in data:
        assert jsontext.drop(changed, (key,)) == text
    for name in data:
        assert json.loads(jsontext.drop(text, (name,))) == {each: data[each] for each in data if each != name}


def test_comments_and_trailing_commas_are_read() -> None:
    text = '{// one\n "a": "// no \\" comment", /* two\n */ "b": [1, 2,], }'
    assert jsontext.lenient(text) == {"a": '// no " comment', "b": [1, 2]}
    with pytest.raises(ValueError, match="Expecting"):
        jsontext.lenient("{a: 1}")
