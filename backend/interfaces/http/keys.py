"""API keys over HTTP."""

from fastapi import Response

from agentsquad.schemas.users import KeyNew, Keys, KeySecret
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, Who, Writes
from backend.interfaces.http.errors import Router
from backend.operations import keys

router = Router(tags=["keys"])


@router.get("/keys", response_model=Keys)
async def keys_mine(database: Db, actor: Who) -> Response:
    """One's own API keys, newest first."""
    return answers.json(await database.reads.json(keys.mine, actor))


@router.post("/keys", status_code=201)
async def keys_create(writer: Writes, new: KeyNew) -> KeySecret:
    """Make an API key for oneself. Its text is in this answer and never again."""
    made = await writer.result(keys.create, None, new.name)
    return KeySecret(id=made.id, secret=made.secret)


@router.get("/users/{user_id}/keys", response_model=Keys)
async def users_keys(database: Db, actor: Who, user_id: str) -> Response:
    """The API keys of an account, newest first: anybody's for an administrator, one's own for others."""
    return answers.found(await database.reads.json(keys.of, actor, user_id), answers.NO_USER)


@router.post("/users/{user_id}/keys", status_code=201)
async def users_create_key(writer: Writes, user_id: str, new: KeyNew) -> KeySecret:
    """Make an API key for an account: an administrator for anybody, others for themselves."""
    made = await writer.result(keys.create, user_id, new.name)
    return KeySecret(id=made.id, secret=made.secret)


@router.delete("/keys/{key_id}", status_code=204)
async def keys_revoke(database: Db, actor: Who, key_id: str) -> None:
    """Revoke an API key of one's own, or anybody's as an administrator: it is dead everywhere within a second."""
    await database.transact(keys.revoke, actor, key_id)
