"""What every table shares: the declarative base, keys, times, and the names of constraints."""

import secrets
import time
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import DateTime, Dialect, MetaData, Text, TypeDecorator, Uuid, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds, then random ones. Nothing is ordered by it."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return UUID(int=value)


class Key(TypeDecorator[UUID]):
    """A UUID column that compares with text: what is no UUID equals nothing, in both drivers.

    Such text becomes NULL, so it finds no row, and a NOT NULL column refuses it. A nullable column
    would store it as NULL: those are plain `Uuid`.
    """

    impl = Uuid
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> UUID | None:  # noqa: ARG002  (the base's signature)
        """Make a UUID of text, and NULL of what is none."""
        if value is None or isinstance(value, UUID):
            return value
        try:
            return UUID(value)
        except (ValueError, TypeError, AttributeError):
            return None


class Base(DeclarativeBase):
    """The declarative base. Names of constraints are fixed, since errors are found by them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    # Times that the database sets come back with the UPDATE: reading one is never hidden I/O.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  (SQLAlchemy reads it)
    type_annotation_map = {UUID: Key, str: Text, datetime: DateTime(timezone=True)}  # noqa: RUF012  (SQLAlchemy reads it)


# Times are the database's clock, never the process's.
Created = Annotated[datetime, mapped_column(server_default=func.statement_timestamp())]
Updated = Annotated[
    datetime,
    mapped_column(server_default=func.statement_timestamp(), onupdate=func.statement_timestamp()),
]
PrimaryKey = Annotated[UUID, mapped_column(primary_key=True, default=new_id)]


class Timed:
    """Creation and last change."""

    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
