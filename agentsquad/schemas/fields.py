"""The kinds of field that several schemas share, and the base of what comes in."""

import json
import math
import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from agentsquad.schemas import limits

NAME = r"\w[\w.-]*"
EMAIL = r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\\x00-\x1f\x7f-\x9f]+)"
ADDRESS = rf"https?://{_HOST}(:[0-9]{{1,5}})?(/[^\s?#\x00-\x1f\x7f-\x9f]*)?"


class Incoming(BaseModel):
    """The base of what a caller sends: an unknown field is an error that names it, and "1" is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _storable(text: str) -> str:
    """Text that PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    if "\x00" in text:
        raise ValueError("holds a NUL character; leave it out")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair; send valid Unicode") from None
    if size > limits.TEXT:
        raise ValueError(f"at most {limits.TEXT} bytes")
    return text


def _name(text: str) -> str:
    _storable(text)
    if not re.fullmatch(NAME, text):
        raise ValueError("letters, digits, _ . and - only, the first one a letter, digit or _")
    try:
        UUID(text)
    except ValueError:
        return text
    raise ValueError("a name can't look like an id")


def _role(text: str) -> str:
    return _name(text) if text else text


def _email(text: str) -> str:
    _storable(text)
    if not re.fullmatch(EMAIL, text):
        raise ValueError("an address such as ada@example.com")
    return text


def _address(text: str) -> str:
    """Where a server is; nothing in it is secret."""
    _storable(text)
    if not re.fullmatch(ADDRESS, text):
        raise ValueError("an address such as https://example.com/v1, without a name, password, query or fragment")
    return text


def _glob(text: str) -> str:
    """A glob in the one form by which all are compared, without `.` as a part."""
    _storable(text)
    if not text.isprintable():
        raise ValueError("holds a character that can't be printed; write ? in its place")
    if text.startswith("/"):
        raise ValueError("begins at the root of the checkout, without a leading /")
    parts = [part for part in text.split("/") if part != "."]
    if ".." in parts:
        raise ValueError("can't lead out with ..; begin at the root of the checkout")
    if not any(parts):
        raise ValueError("names nothing; ** is everything")
    if "" in parts[:-1]:
        raise ValueError("holds an empty part; write one / between two names")
    if sum("*" in part or "?" in part for part in parts) > limits.WILDCARDS:
        raise ValueError(f"at most {limits.WILDCARDS} parts with * or ?; name a folder and all that is in it")
    return "/".join(parts)


def _parts(item: Any) -> list[Any]:
    """What a piece of JSON holds."""
    match item:
        case str():
            _storable(item)
        case float() if not math.isfinite(item):
            raise ValueError("holds a number that is not finite")
        case dict():
            if not all(isinstance(name, str) for name in item):
                raise ValueError("is no JSON: a name in it is no text")
            return [*item, *item.values()]
        case list():
            return item
        case float() | int() | None:
            pass
        case _:
            raise ValueError(f"is no JSON: it holds a {type(item).__name__}")
    return []


def _json(value: Any) -> Any:
    """JSON that PostgreSQL can hold, of limited size."""
    storable(value, limits.TEXT)
    try:
        size = len(json.dumps(value, ensure_ascii=False).encode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if size > limits.TEXT:
        raise ValueError(f"at most {limits.TEXT} bytes as JSON")
    return value


def storable(value: Any, most: float = math.inf) -> Any:
    """JSON that PostgreSQL can hold; walked without recursion, since callers choose the depth."""
    stack, walked = [value], 0
    while stack:
        stack.extend(_parts(stack.pop()))
        walked += 1
        if walked > most:  # what holds itself has an end here, too
            raise ValueError(f"at most {most} bytes as JSON")
    return value


def _whole(value: Any) -> Any:
    """In JSON 2.0 is a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _reference(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError:
        raise ValueError("a task's number, or a key of this batch") from None


def _form(pattern: str) -> Any:
    """What a field looks like, for the documentation; its validator says it better."""
    return Field(json_schema_extra={"pattern": pattern})


_STORABLE = _form(r"^[^\x00]*$")
Text = Annotated[str, Field(max_length=limits.TEXT), _STORABLE, AfterValidator(_storable)]
Title = Annotated[str, Field(min_length=1, max_length=limits.TITLE), _STORABLE, AfterValidator(_storable)]
Label = Annotated[str, Field(max_length=limits.NAME), _STORABLE, AfterValidator(_storable)]
Part = Annotated[str, Field(max_length=limits.PART), _STORABLE, AfterValidator(_storable)]
Name = Annotated[str, Field(min_length=1, max_length=limits.NAME), _form(f"^{NAME}$"), AfterValidator(_name)]
Role = Annotated[str, Field(max_length=limits.NAME), _form(f"^({NAME})?$"), AfterValidator(_role)]
Email = Annotated[str, Field(max_length=limits.EMAIL), _form(f"^{EMAIL}$"), AfterValidator(_email)]
Address = Annotated[str, Field(max_length=limits.ADDRESS), _form(f"^{ADDRESS}$"), AfterValidator(_address)]
Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[Whole, Field(ge=1, le=limits.NUMBER_MAX)]
Position = Annotated[Whole, Field(ge=1, le=limits.POSITION_MAX)]
Amount = Annotated[int, Field(ge=0, le=limits.AMOUNT), BeforeValidator(_whole)]
Dollars = Annotated[float, Field(ge=0, le=limits.DOLLARS, allow_inf_nan=False)]
Reference = Annotated[Number | Name, WrapValidator(_reference)]
Json = Annotated[Any, AfterValidator(_json)]
Stored = Annotated[Any, AfterValidator(storable)]
Input = Annotated[Json, AfterValidator(lambda value: {} if value is None else value)]
Lease = Annotated[Whole, Field(ge=limits.LEASE_MIN, le=limits.LEASE_MAX)]
Glob = Annotated[str, Field(min_length=1, max_length=limits.PATH), _STORABLE, AfterValidator(_glob)]
Globs = Annotated[list[Glob], Field(max_length=limits.PATHS), AfterValidator(lambda globs: list(dict.fromkeys(globs)))]


def parts_of(claim: str) -> tuple[int, int]:
    """The task and the attempt that a claim's handle names."""
    task, attempt = claim.split("/")
    return int(task), int(attempt)


ClaimHandle = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,8}/[1-9][0-9]{0,8}$",
        description="task/attempt, as `claim` answered it",
        examples=["12/3"],
    ),
]
