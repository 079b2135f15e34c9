"""B2, the plain translation of B0 to async: AsyncSession, asyncpg, the same ORM, pool and `response_model`."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Header, HTTPException
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import joinedload, selectinload

from benchmarks.b0 import ApiKey, Squad, User, UserOut, page_of
from benchmarks.held import Waiting

engine = create_async_engine(os.environ["BENCH_ASYNC_URL"], pool_size=5, max_overflow=10, pool_pre_ping=True)
AsyncSessionLocal = async_sessionmaker(engine, autoflush=False, expire_on_commit=False)


async def get_user(db: AsyncSession, user_id: UUID) -> User | None:
    """One account."""
    return (await db.execute(select(User).where(User.id == user_id))).scalars().first()


async def get_user_of_key(db: AsyncSession, digest: bytes) -> User | None:
    """The account that a key stands for."""
    query = select(User).join(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None), User.is_active)
    return (await db.execute(query)).scalars().first()


async def get_squads(db: AsyncSession, owner_id: UUID, limit: int) -> list[Squad]:
    """A user's squads with owner and members."""
    query = (
        select(Squad)
        .options(joinedload(Squad.owner), selectinload(Squad.members))
        .where(Squad.owner_id == owner_id, Squad.archived_at.is_(None))
        .order_by(Squad.name, Squad.id)
        .limit(limit)
    )
    return list((await db.execute(query)).scalars().all())


async def get_db() -> AsyncIterator[AsyncSession]:
    """One session for one request."""
    async with AsyncSessionLocal() as db:
        yield db


Db = Annotated[AsyncSession, Depends(get_db)]


async def get_current_user(db: Db, authorization: Annotated[str, Header()] = "") -> User:
    """Whoever the request's key stands for."""
    scheme, _, key = authorization.partition(" ")
    user = await get_user_of_key(db, hashlib.sha256(key.encode()).digest()) if scheme == "Bearer" else None
    if user is None:
        raise HTTPException(status_code=401, detail="Invalid key")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]

app = FastAPI()


@app.get("/users/{user_id}", response_model=UserOut)
async def read_user(user_id: UUID, db: Db, _current_user: CurrentUser) -> User:
    """One account, for whoever has a key."""
    user = await get_user(db, user_id)
    if user is None:
        raise HTTPException(status_code=404, detail="User not found")
    return user


@app.get("/open/users/{user_id}", response_model=UserOut)
async def read_user_without_key(user_id: UUID, db: Db) -> User:
    """One account, for anybody."""
    user = await get_user(db, user_id)
    if user is None:
        raise HTTPException(status_code=404, detail="User not found")
    return user


async def user_json(user_id: UUID) -> bytes:
    """An account as JSON, by way of the ORM's object."""
    async with AsyncSessionLocal() as db:
        return UserOut.model_validate(await get_user(db, user_id)).model_dump_json().encode()


async def squads_json(owner_id: UUID, limit: int) -> bytes:
    """A user's squads as JSON, by way of the ORM's objects."""
    async with AsyncSessionLocal() as db:
        return page_of(await get_squads(db, owner_id, limit), limit).model_dump_json().encode()


async def insert_users(people: Iterable[tuple[str, str]]) -> None:
    """New accounts of these addresses and names, as objects."""
    async with AsyncSessionLocal() as db:
        db.add_all([User(email=email, name=name) for email, name in people])
        await db.commit()


def held() -> Waiting:
    """The application behind something that waits, without holding a session as B0's routes do."""
    return Waiting(app, float(os.environ["BENCH_HOLD_SECONDS"]))
