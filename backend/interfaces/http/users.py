"""Accounts over HTTP."""

from typing import Any

from fastapi import APIRouter, Request, Response

from agentsquad.schemas.users import User, UserNew, Users
from backend.core.database import get_sync_db_context
from backend.core.errors import NotFound
from backend.interfaces.http import answers, hot
from backend.interfaces.http.dependencies import Db, Who
from backend.operations import users

router = APIRouter(tags=["users"])

READS = [
    hot.read(router, "/users/me", users.me, User, missing="A member token has no account; use an API key."),
    hot.read(router, "/users/{user_id}", users.get, User, missing=answers.NO_USER),
]


@router.get("/sync-users/{user_id}", response_model=User, deprecated=True)
def sync_users_get(request: Request, actor: Who, user_id: str) -> Any:
    """`GET /users/{user_id}` through psycopg2: the living example of the special case.

    The session is opened in the body. Through `Depends(get_sync_db)` a `def` route deadlocks at many
    clients: threads wait for connections while the clean-up that frees them waits for a thread.
    """
    with get_sync_db_context(request) as db:
        user = db.execute(users.get(actor, user_id)).mappings().one_or_none()
    if user is None:
        raise NotFound(answers.NO_USER)
    return user


@router.get("/users", response_model=Users)
async def users_page(database: Db, actor: Who) -> Response:
    """All accounts, for an administrator; oneself for others."""
    return answers.json(await database.reads.json(users.everybody, actor))


@router.post("/users", response_model=User, status_code=201)
async def users_create(database: Db, actor: Who, new: UserNew) -> Any:
    """Make an account. Administrators only; `POST /users/{user_id}/keys` gives it a key."""
    return await database.transact(users.create, actor, new)
