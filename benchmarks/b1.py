"""B1, synchronous done well: Core statements made once, no pings, a connection for every thread, orjson."""

import hashlib
import os
import time
from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import FastAPI, Header, Response
from sqlalchemy import Connection, bindparam, create_engine, insert, select

from benchmarks.b0 import HOLD_SECONDS, Base

THREADS = 40  # so many `def` routes run at once

engine = create_engine(os.environ["BENCH_SYNC_URL"], pool_size=THREADS, max_overflow=0)

TABLES = Base.metadata.tables
users, keys, squads, members = (TABLES[name].c for name in ("users", "api_keys", "squads", "members"))

USER = select(TABLES["users"]).where(users.id == bindparam("id"))
USER_OF_KEY = (
    select(users.id, users.is_admin)
    .join(TABLES["api_keys"], keys.user_id == users.id)
    .where(keys.digest == bindparam("digest"), keys.revoked_at.is_(None), users.is_active)
)
SQUADS = (
    select(
        squads.id,
        squads.name,
        squads.lease_seconds,
        squads.max_tries,
        squads.paused_at,
        squads.archived_at,
        squads.created_at,
        squads.updated_at,
        users.id.label("owner_id"),
        users.email.label("owner_email"),
        users.name.label("owner_name"),
    )
    .join(TABLES["users"], users.id == squads.owner_id)
    .where(squads.owner_id == bindparam("owner"), squads.archived_at.is_(None))
    .order_by(squads.name, squads.id)
    .limit(bindparam("limit"))
)
MEMBERS = (
    select(
        members.squad_id,
        members.id,
        members.name,
        members.kind,
        members.role,
        members.instructions,
        members.hosting,
        members.user_id.label("user"),
        members.last_seen_at,
        members.paused_at,
        members.retired_at,
        members.created_at,
    )
    .join(TABLES["squads"], squads.id == members.squad_id)
    .where(squads.owner_id == bindparam("owner"), squads.archived_at.is_(None))
    .order_by(members.name)
)

app = FastAPI()


def get_user(connection: Connection, user_id: UUID) -> bytes | None:
    """One account as JSON."""
    row = connection.execute(USER, {"id": user_id}).first()
    return None if row is None else orjson.dumps(row._asdict())


def answer(body: bytes | None) -> Response:
    """An account, or that there is none."""
    if body is None:
        return Response(b'{"detail":"User not found"}', 404, media_type="application/json")
    return Response(body, media_type="application/json")


@app.get("/users/{user_id}")
def read_user(user_id: UUID, authorization: Annotated[str, Header()] = "") -> Response:
    """One account, for whoever has a key: both on one connection."""
    scheme, _, key = authorization.partition(" ")
    with engine.connect() as connection:
        digest = hashlib.sha256(key.encode()).digest()
        if scheme != "Bearer" or connection.execute(USER_OF_KEY, {"digest": digest}).first() is None:
            return Response(b'{"detail":"Invalid key"}', 401, media_type="application/json")
        return answer(get_user(connection, user_id))


@app.get("/open/users/{user_id}")
def read_user_without_key(user_id: UUID) -> Response:
    """One account, for anybody."""
    with engine.connect() as connection:
        return answer(get_user(connection, user_id))


@app.get("/held/users/{user_id}")
def read_user_slowly(user_id: UUID) -> Response:
    """A slow call to somewhere else, with no connection held, and then one account."""
    time.sleep(HOLD_SECONDS)
    return read_user_without_key(user_id)


def user_json(user_id: UUID) -> bytes:
    """An account as JSON, from the row."""
    with engine.connect() as connection:
        return get_user(connection, user_id) or b"null"


def squads_json(owner_id: UUID, limit: int) -> bytes:
    """A user's squads as JSON, from the rows of two statements."""
    with engine.connect() as connection:
        found = connection.execute(SQUADS, {"owner": owner_id, "limit": limit}).all()
        teams: dict[UUID, list[dict[str, Any]]] = {row.id: [] for row in found}
        for member in map(dict, connection.execute(MEMBERS, {"owner": owner_id}).mappings()):
            teams[member.pop("squad_id")].append(member)
    items = []
    for row in found:
        item = row._asdict()
        item["owner"] = {
            "id": item.pop("owner_id"),
            "email": item.pop("owner_email"),
            "name": item.pop("owner_name"),
        }
        item["members"] = teams[row.id]
        items.append(item)
    following = f"{found[-1].name}/{found[-1].id}" if len(found) == limit else None
    return orjson.dumps({"items": items, "next": following})


def insert_users(people: Iterable[tuple[str, str]]) -> None:
    """New accounts of these addresses and names, as one Core insert."""
    with engine.begin() as connection:
        connection.execute(insert(TABLES["users"]), [{"email": email, "name": name} for email, name in people])
