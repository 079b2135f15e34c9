"""What is wrong with a request, in words: pydantic's kinds of error as short sentences."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from backend.core.errors import Invalid

# Of each kind: what is true of the field, and what it wants.
WORDS: Final = {
    "missing": ("is missing", "required"),
    "extra_forbidden": ("is unknown", "no such field"),
    "string_too_long": ("is too long", "at most {max_length} characters"),
    "string_too_short": ("is too short", "at least {min_length}"),
    "too_long": ("has too many items", "at most {max_length} items"),
    "too_short": ("has too few items", "at least {min_length}"),
    "greater_than_equal": ("is too small", "at least {ge}"),
    "less_than_equal": ("is too large", "at most {le}"),
    "literal_error": ("has an unknown value", "one of {expected}"),
    "string_pattern_mismatch": ("has the wrong form", "has to match {pattern}"),
    "string_type": ("is not text", "text"),
    "bool_type": ("is not true or false", "true or false"),
    "list_type": ("is not a list", "a list"),
    "model_attributes_type": ("is not an object", "an object"),
    "model_type": ("is not an object", "an object"),
    "int_type": ("is not a whole number", "a whole number"),
    "int_parsing": ("is not a whole number", "a whole number"),
    "int_from_float": ("is not a whole number", "a whole number"),
    "int_parsing_size": ("is too large", "a smaller number"),
    "string_unicode": ("is not valid Unicode", "text without half a surrogate pair"),
}
AT_MOST: Final = 100  # errors in one answer
SHOWN: Final = 100  # characters of a name that the caller chose


def unreadable(found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the body is no JSON at all."""
    return any(item["type"] == "json_invalid" or isinstance(item["input"], bytes) for item in found)


def error_of(found: Iterable[Mapping[str, Any]]) -> Invalid:
    """One error for all that pydantic found; the first one gives the sentence."""
    sentences, fields = zip(*(_described(item) for item in list(found)[:AT_MOST]), strict=True)
    return Invalid(sentences[0], errors=list(fields))


def _described(item: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    path = [_shown(part) for part in item["loc"]]
    state, wanted = WORDS.get(item["type"], ("", ""))
    # pydantic quotes the values of a literal.
    message = wanted.format(**item.get("ctx", {})).replace("'", "") or item["msg"].removeprefix("Value error, ")
    sentence = f"{_name(path)} {state}." if state else f"{_name(path)} can't be used: {message}."
    return sentence, {"field": ".".join(path), "message": message}


def _name(path: list[str]) -> str:
    """The field's own name, with its place if it stands in a list: `title`, `depends_on.3`."""
    start = next(index for index in reversed(range(len(path))) if not path[index].isdecimal())
    return ".".join(path[start:])


def _shown(part: object) -> str:
    return str(part)[:SHOWN].encode(errors="replace").decode()
