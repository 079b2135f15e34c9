"""JSON on its way to PostgreSQL and back: a whole number of any size stays what it is, which orjson's do not."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any


def dumps(value: object) -> str:
    """JSON text for PostgreSQL, with ids and times as text."""
    return json.dumps(value, default=_text, ensure_ascii=False, allow_nan=False)


def cut(value: Any, most: int) -> Any:
    """The value itself, or the beginning of its text if that has more characters than these."""
    text = value if isinstance(value, str) else dumps(value)
    return value if len(text) <= most else f"{text[:most]}… (cut: {len(text) - most} characters more)"


def cut_all(values: Iterable[Any], most: int, room: int, instead: str) -> list[Any]:
    """Each value cut, as long as all of them together have room for so many characters; then something instead."""
    kept = []
    for value in values:
        short = cut(value, most)
        room -= len(dumps(short))
        kept.append(short if room >= 0 else instead)
    return kept


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
