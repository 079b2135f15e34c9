"""Accounts over HTTP."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query, Request, Response

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Part
from agentsquad.schemas.users import User, UserEdit, UserNew, Users
from backend.core.database import get_sync_db_context
from backend.core.errors import NotFound
from backend.core.statements import AnySelect
from backend.interfaces.http import answers, hot
from backend.interfaces.http.dependencies import Db, Who, Writer, Writes
from backend.interfaces.http.errors import Router
from backend.models import User as Account
from backend.operations import users

router = Router(tags=["users"])

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
async def users_page(
    database: Db,
    actor: Who,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    cursor: Annotated[Part, Query()] = "",
) -> Response:
    """All accounts, for an administrator; oneself for others. By address."""
    return answers.json(await database.reads.json(users.page, actor, cursor, limit))


@router.post("/users", response_model=User, status_code=201)
async def users_create(writer: Writes, new: UserNew) -> Response:
    """Make an account. Administrators only; `POST /users/{user_id}/keys` gives it a key."""
    return await writer.write(users.create, new, show=_shown(writer), status=201)


@router.patch("/users/{user_id}", response_model=User)
async def users_update(writer: Writes, user_id: str, edit: UserEdit) -> Response:
    """Change an account: its name, or whether it opens anything. Administrators only."""
    return await writer.write(users.update, user_id, edit, show=_shown(writer))


def _shown(writer: Writer) -> Callable[[Account], AnySelect]:
    return lambda user: users.get(writer.actor, str(user.id))
