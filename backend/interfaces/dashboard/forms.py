"""What a form sends: its fields as text, and a schema of them."""

from typing import Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from agentsquad.schemas import limits
from backend.core.errors import Invalid, TooLarge
from backend.interfaces import invalid

ANONYMOUS: Final = 16 * 1024  # bytes of a form of somebody who isn't logged in yet
KNOWN: Final = 3 * limits.TEXT + 16 * 1024  # a text, each byte of it as three, and what stands around it
FIELDS: Final = 20
Schema = TypeVar("Schema", bound=BaseModel)


async def fields(request: Request, most: int = KNOWN) -> dict[str, str]:
    """The fields of a form; of several of one name the last.

    Raises:
        TooLarge: it has more bytes than `most`.
        Invalid: it has no fields that can be read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge("That is too long; send less.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError as error:
        raise Invalid("The form can't be read; open the page again.") from error
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def schema(kind: type[Schema], **values: object) -> Schema:
    """What an operation takes.

    Raises:
        Invalid: what is wrong, in one sentence.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise invalid.error_of([{**found, "loc": ("form", *found["loc"])} for found in error.errors()]) from error
