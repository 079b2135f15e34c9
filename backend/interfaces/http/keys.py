"""API keys over HTTP."""

from fastapi import APIRouter, Response

from agentsquad.schemas.users import KeyNew, Keys, KeySecret
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, Who
from backend.operations import keys

router = APIRouter(tags=["keys"])


@router.get("/keys", response_model=Keys)
async def keys_mine(database: Db, actor: Who) -> Response:
    """One's own API keys, newest first."""
    return answers.json(await database.reads.json(keys.mine, actor))


@router.post("/keys", status_code=201)
async def keys_create(database: Db, actor: Who, new: KeyNew) -> KeySecret:
    """Make an API key for oneself. Its text is in this answer and never again."""
    key_id, secret = await database.transact(keys.create, actor, None, new.name)
    return KeySecret(id=key_id, secret=secret)


@router.post("/users/{user_id}/keys", status_code=201)
async def users_create_key(database: Db, actor: Who, user_id: str, new: KeyNew) -> KeySecret:
    """Make an API key for an account: an administrator for anybody, others for themselves."""
    key_id, secret = await database.transact(keys.create, actor, user_id, new.name)
    return KeySecret(id=key_id, secret=secret)


@router.delete("/keys/{key_id}", status_code=204)
async def keys_revoke(database: Db, actor: Who, key_id: str) -> None:
    """Revoke one's own API key: it is dead everywhere within a second."""
    await database.transact(keys.revoke, actor, key_id)
