"""Members, their tokens and their inboxes over HTTP."""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Part
from agentsquad.schemas.members import Me, Member, MemberEdit, MemberNew, Members, PauseNew, TokenNew, Tokens
from agentsquad.schemas.users import KeySecret
from backend.core.statements import AnySelect
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Who, Writer, Writes
from backend.interfaces.http.errors import Router
from backend.operations import members
from backend.operations.access import MemberRef, SquadRef

router = Router(prefix="/squads/{squad}/members", tags=["members"])


@router.get("", response_model=Members)
async def members_page(
    database: Db,
    actor: Who,
    squad: InSquad,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    cursor: Annotated[Part, Query()] = "",
) -> Response:
    """The members of a squad, by name, also those who were retired."""
    return answers.found(await database.reads.json(members.page, actor, squad, cursor, limit), answers.NO_SQUAD)


@router.post("", response_model=Member, status_code=201)
async def members_add(writer: Writes, squad: InSquad, new: MemberNew) -> Response:
    """Add a member. The owner only."""
    return await writer.write(members.add, squad, new, show=_shown(writer, squad), status=201)


@router.get("/me", response_model=Me)
async def members_me(database: Db, actor: Who, squad: InSquad) -> Response:
    """Oneself in this squad: how many messages wait, and what one holds."""
    return answers.found(await database.reads.json(members.me, actor, squad), answers.NO_SQUAD)


@router.get("/{member}", response_model=Member)
async def members_one(database: Db, actor: Who, squad: InSquad, member: Part) -> Response:
    """One member, by id or name."""
    return answers.found(
        await database.reads.json(members.one, actor, squad, MemberRef.parse(member)), answers.NO_MEMBER
    )


@router.patch("/{member}", response_model=Member)
async def members_update(writer: Writes, squad: InSquad, member: Part, edit: MemberEdit) -> Response:
    """Change a member's name, role, instructions or how it is run. The owner only."""
    return await writer.write(members.update, squad, member, edit, show=_shown(writer, squad))


@router.post("/{member}/pause", response_model=Member)
async def members_pause(writer: Writes, squad: InSquad, member: Part, given: PauseNew | None = None) -> Response:
    """Let a member claim nothing more; with `now` its live attempts end, which uses no try. The owner only."""
    return await writer.write(members.pause, squad, member, given or PauseNew(), show=_shown(writer, squad))


@router.post("/{member}/resume", response_model=Member)
async def members_resume(writer: Writes, squad: InSquad, member: Part) -> Response:
    """Let a paused member claim again. The owner only."""
    return await writer.write(members.resume, squad, member, show=_shown(writer, squad))


@router.post("/{member}/retire", response_model=Member)
async def members_retire(writer: Writes, squad: InSquad, member: Part) -> Response:
    """End a member for good: its attempts end, its tasks are anybody's, its tokens are dead. The owner only."""
    return await writer.write(members.retire, squad, member, show=_shown(writer, squad))


@router.get("/{member}/tokens", response_model=Tokens)
async def members_tokens(database: Db, actor: Who, squad: InSquad, member: Part) -> Response:
    """A member's tokens, without their secrets, newest first."""
    return answers.found(
        await database.reads.json(members.tokens, actor, squad, MemberRef.parse(member)), answers.NO_MEMBER
    )


@router.post("/{member}/tokens", status_code=201)
async def members_create_token(writer: Writes, squad: InSquad, member: Part, new: TokenNew) -> KeySecret:
    """Make a token that acts as a member. Its text is in this answer and never again. The owner only."""
    made = await writer.result(members.create_token, squad, member, new.name)
    return KeySecret(id=made.id, secret=made.secret)


@router.delete("/{member}/tokens/{token_id}", status_code=204)
async def members_revoke_token(database: Db, actor: Who, squad: InSquad, member: Part, token_id: str) -> None:
    """Revoke a member's token: it is dead everywhere within a second. The owner only."""
    await database.transact(members.revoke_token, actor, squad, member, token_id)


def _shown(writer: Writer, squad: SquadRef) -> Callable[[UUID], AnySelect]:
    """What was changed is shown as it is now."""
    return lambda member_id: members.one(writer.actor, squad, MemberRef(member_id, None))
