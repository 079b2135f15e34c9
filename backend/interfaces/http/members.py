"""Members and their tokens over HTTP."""

from fastapi import APIRouter, Response

from agentsquad.schemas.fields import Part
from agentsquad.schemas.members import Member, MemberNew, Members, TokenNew
from agentsquad.schemas.users import KeySecret
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Who
from backend.operations import members

router = APIRouter(prefix="/squads/{squad}", tags=["members"])


@router.get("/members", response_model=Members)
async def members_page(database: Db, actor: Who, squad: InSquad) -> Response:
    """The members of a squad, by name."""
    return answers.found(await database.reads.json(members.page, actor, squad), answers.NO_SQUAD)


@router.post("/members", response_model=Member, status_code=201)
async def members_add(database: Db, actor: Who, squad: InSquad, new: MemberNew) -> Response:
    """Add a member. The owner only."""
    member_id = await database.transact(members.add, actor, squad, new)
    return answers.json(await database.reads.json(members.one, actor, squad, member_id), 201)


@router.post("/members/{member}/tokens", status_code=201)
async def members_create_token(database: Db, actor: Who, squad: InSquad, member: Part, new: TokenNew) -> KeySecret:
    """Make a token that acts as a member. Its text is in this answer and never again. The owner only."""
    token_id, secret = await database.transact(members.create_token, actor, squad, member, new.name)
    return KeySecret(id=token_id, secret=secret)


@router.delete("/members/{member}/tokens/{token_id}", status_code=204)
async def members_revoke_token(database: Db, actor: Who, squad: InSquad, member: Part, token_id: str) -> None:
    """Revoke a member's token: it is dead everywhere within a second. The owner only."""
    await database.transact(members.revoke_token, actor, squad, member, token_id)
