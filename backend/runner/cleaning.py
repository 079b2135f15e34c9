"""What comes from outside, as PostgreSQL can hold it: without NUL characters and halves of surrogate pairs."""

import math
from typing import Any

from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse
from pydantic_core import PydanticSerializationError


def text(found: str) -> str:
    """A text that can be stored; halves that belong together are joined."""
    return found.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def response(found: ModelResponse) -> ModelResponse:
    """An answer that can be stored, which nearly each one is as it came."""
    try:
        if b"\\u0000" not in ModelMessagesTypeAdapter.dump_json([found]):
            return found
    except (PydanticSerializationError, UnicodeEncodeError):
        pass
    (clean,) = ModelMessagesTypeAdapter.validate_python(json(ModelMessagesTypeAdapter.dump_python([found])))
    assert isinstance(clean, ModelResponse)
    return clean


def json(value: Any) -> Any:
    """JSON that can be stored."""
    match value:
        case str():
            return text(value)
        case dict():
            return {json(name): json(each) for name, each in value.items()}
        case list():
            return [json(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value
