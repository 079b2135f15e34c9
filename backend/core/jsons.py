"""JSON on its way to PostgreSQL and back: a whole number of any size stays what it is, which orjson's do not."""

import json
from datetime import datetime


def dumps(value: object) -> str:
    """JSON text for PostgreSQL, with ids and times as text."""
    return json.dumps(value, default=_text, ensure_ascii=False, allow_nan=False)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
