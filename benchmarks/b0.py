"""B0, the application before: FastAPI with synchronous SQLAlchemy, as tutorials write it. Nothing is slowed.

`def` routes, one session per request from a dependency, the ORM on psycopg2, a pool of 5 + 10 that pings,
`response_model`. Complete in this file.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, ForeignKey, Text, create_engine, func, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    sessionmaker,
)

HOLD_SECONDS = float(os.environ.get("BENCH_HOLD_SECONDS", "2"))

engine = create_engine(os.environ["BENCH_SYNC_URL"], pool_size=5, max_overflow=10, pool_pre_ping=True)
SessionLocal = sessionmaker(autoflush=False, bind=engine)


# Models


class Base(DeclarativeBase):
    """The declarative base."""

    type_annotation_map = {str: Text, datetime: DateTime(timezone=True)}  # noqa: RUF012  (SQLAlchemy reads it)


class User(Base):
    """An account."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    is_active: Mapped[bool] = mapped_column(default=True)
    is_admin: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    api_keys: Mapped[list["ApiKey"]] = relationship(back_populates="user")
    squads: Mapped[list["Squad"]] = relationship(back_populates="owner")


class ApiKey(Base):
    """A key that acts as its user."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    digest: Mapped[bytes]
    revoked_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(back_populates="api_keys")


class Squad(Base):
    """A squad."""

    __tablename__ = "squads"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    lease_seconds: Mapped[int] = mapped_column(default=60)
    max_tries: Mapped[int] = mapped_column(default=3)
    paused_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    owner: Mapped[User] = relationship(back_populates="squads")
    members: Mapped[list["Member"]] = relationship(back_populates="squad", order_by="Member.name")


class Member(Base):
    """A member of a squad."""

    __tablename__ = "members"

    squad_id: Mapped[UUID] = mapped_column(ForeignKey("squads.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="external")
    role: Mapped[str] = mapped_column(default="")
    instructions: Mapped[str] = mapped_column(default="")
    hosting: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    last_seen_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    squad: Mapped[Squad] = relationship(back_populates="members")


# Schemas


class UserOut(BaseModel):
    """An account as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str
    is_active: bool
    is_admin: bool
    created_at: datetime
    updated_at: datetime


class OwnerOut(BaseModel):
    """A squad's owner as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str


class MemberOut(BaseModel):
    """A member as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    kind: str
    role: str
    instructions: str
    hosting: Any | None
    user: UUID | None = Field(validation_alias="user_id")
    last_seen_at: datetime | None
    paused_at: datetime | None
    retired_at: datetime | None
    created_at: datetime


class SquadOut(BaseModel):
    """A squad as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    owner: OwnerOut
    lease_seconds: int
    max_tries: int
    paused_at: datetime | None
    archived_at: datetime | None
    created_at: datetime
    updated_at: datetime
    members: list[MemberOut]


class SquadPage(BaseModel):
    """A page of squads."""

    items: list[SquadOut]
    next: str | None


# Queries


def get_user(db: Session, user_id: UUID) -> User | None:
    """One account."""
    return db.query(User).filter(User.id == user_id).first()


def get_user_of_key(db: Session, digest: bytes) -> User | None:
    """The account that a key stands for."""
    return (
        db.query(User).join(ApiKey).filter(ApiKey.digest == digest, ApiKey.revoked_at.is_(None), User.is_active).first()
    )


def get_squads(db: Session, owner_id: UUID, limit: int) -> list[Squad]:
    """A user's squads with owner and members."""
    return (
        db.query(Squad)
        .options(joinedload(Squad.owner), selectinload(Squad.members))
        .filter(Squad.owner_id == owner_id, Squad.archived_at.is_(None))
        .order_by(Squad.name, Squad.id)
        .limit(limit)
        .all()
    )


def page_of(squads: list[Squad], limit: int) -> SquadPage:
    """The answer to a request for squads."""
    last = squads[-1] if len(squads) == limit else None
    return SquadPage(
        items=[SquadOut.model_validate(squad) for squad in squads],
        next=last and f"{last.name}/{last.id}",
    )


# Routes


def get_db() -> Iterator[Session]:
    """One session for one request."""
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


Db = Annotated[Session, Depends(get_db)]


def get_current_user(db: Db, authorization: Annotated[str, Header()] = "") -> User:
    """Whoever the request's key stands for."""
    scheme, _, key = authorization.partition(" ")
    user = get_user_of_key(db, hashlib.sha256(key.encode()).digest()) if scheme == "Bearer" else None
    if user is None:
        raise HTTPException(status_code=401, detail="Invalid key")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]

app = FastAPI()


@app.get("/users/{user_id}", response_model=UserOut)
def read_user(user_id: UUID, db: Db, _current_user: CurrentUser) -> User:
    """One account, for whoever has a key."""
    user = get_user(db, user_id)
    if user is None:
        raise HTTPException(status_code=404, detail="User not found")
    return user


@app.get("/open/users/{user_id}", response_model=UserOut)
def read_user_without_key(user_id: UUID, db: Db) -> User:
    """One account, for anybody."""
    user = get_user(db, user_id)
    if user is None:
        raise HTTPException(status_code=404, detail="User not found")
    return user


@app.get("/held/users/{user_id}", response_model=UserOut)
def read_user_slowly(user_id: UUID, db: Db) -> User:
    """One account, and then a slow call to somewhere else, with the session open as it is in every route here."""
    user = get_user(db, user_id)
    if user is None:
        raise HTTPException(status_code=404, detail="User not found")
    time.sleep(HOLD_SECONDS)
    return user


# The same without HTTP


def user_json(user_id: UUID) -> bytes:
    """An account as JSON, by way of the ORM's object."""
    with SessionLocal() as db:
        return UserOut.model_validate(get_user(db, user_id)).model_dump_json().encode()


def squads_json(owner_id: UUID, limit: int) -> bytes:
    """A user's squads as JSON, by way of the ORM's objects."""
    with SessionLocal() as db:
        return page_of(get_squads(db, owner_id, limit), limit).model_dump_json().encode()


def insert_users(people: Iterable[tuple[str, str]]) -> None:
    """New accounts of these addresses and names, as objects."""
    with SessionLocal() as db:
        db.add_all([User(email=email, name=name) for email, name in people])
        db.commit()


def insert_users_core(people: Iterable[tuple[str, str]]) -> None:
    """New accounts of these addresses and names, as one Core insert."""
    with SessionLocal() as db:
        db.execute(insert(Base.metadata.tables["users"]), [{"email": email, "name": name} for email, name in people])
        db.commit()
