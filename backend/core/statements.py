"""A read operation compiled for good: SQLAlchemy writes the SQL once, asyncpg gets text and arguments."""

import dataclasses
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, bindparam
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

AnySelect = Select[*tuple[Any, ...]]
Query = Callable[..., AnySelect]
Getter = Callable[[Sequence[Any]], object]


def chosen(make: Callable[..., Query]) -> Callable[..., Query]:
    """A maker of queries that makes each one once, so that it is compiled once."""
    return cache(make)


ONE: Final = "SELECT row_to_json(r)::text FROM ({}) r"
VALUE: Final = "SELECT v::text FROM ({}) r(v)"
ROWS: Final = "{}"
_DIALECT: Final = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves dialects untyped


class Statement:
    """A query compiled for good: its text, and how its arguments become asyncpg's."""

    def __init__(self, query: Query, form: str) -> None:
        placeholders, self._getters = _placeholders(query)
        self._defaults = [each.default for each in inspect.signature(query).parameters.values()]
        compiled = query(*placeholders).compile(dialect=_DIALECT)
        # There is no public way to a single value's conversion.
        processors: Mapping[str, Any] = compiled._bind_processors  # noqa: SLF001
        self.sql = form.format(compiled.string)
        # Exactly one row per execution, so that the answers of many can be told apart.
        self.many = f"SELECT ({self.sql} LIMIT 1)" if form in (ONE, VALUE) else None
        self._plan = [
            (self._getters.get(name), compiled.params[name], processors.get(name))
            for name in compiled.positiontup or ()
        ]

    def arguments(self, values: Sequence[object]) -> list[object]:
        """Values for `$1 …`, in order, from the arguments of the query function."""
        if len(values) < len(self._defaults):
            values = (*values, *self._defaults[len(values) :])
        result = []
        for getter, constant, process in self._plan:
            value = constant if getter is None else getter(values)
            if process is not None and value is not None and value.__class__ is not UUID:
                value = process(value)
            result.append(value)
        return result


def _placeholders(query: Query) -> tuple[list[Any], dict[str, Getter]]:
    """One bind parameter per argument; a dataclass (an actor) gives one per field."""
    placeholders: list[Any] = []
    getters: dict[str, Getter] = {}
    for index, parameter in enumerate(inspect.signature(query).parameters.values()):
        kind = parameter.annotation
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            binds: dict[str, Any] = {}
            for field in dataclasses.fields(kind):
                name = f"{parameter.name}__{field.name}"
                binds[field.name] = bindparam(name)
                getters[name] = _field(index, field.name)
            placeholders.append(kind(**binds))
        else:
            placeholders.append(bindparam(parameter.name))
            getters[parameter.name] = operator.itemgetter(index)
    return placeholders, getters


def _field(index: int, name: str) -> Getter:
    return lambda values: getattr(values[index], name)
