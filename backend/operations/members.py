"""Members of a squad and their tokens."""

from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.members import MemberNew
from backend.core.database import on_constraint
from backend.core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from backend.core.statements import AnySelect
from backend.models import Member, MemberToken, Squad, User
from backend.operations import events, keys
from backend.operations.access import Actor, Entered, SquadRef, enter, require_owner, scope

COLUMNS = (
    Member.id,
    Member.name,
    Member.kind,
    Member.role,
    Member.instructions,
    Member.user_id.label("user"),
    Member.last_seen_at,
    Member.retired_at,
    Member.created_at,
)


def page(actor: Actor, squad: SquadRef) -> AnySelect:
    """The members of a squad, by name."""
    item = select(*COLUMNS).where(Member.squad_id == Squad.id).order_by(Member.name).correlate(Squad).subquery("item")
    items = select(func.coalesce(func.json_agg(item.table_valued()), func.json_build_array())).scalar_subquery()
    return select(items.label("items")).select_from(Squad).where(Squad.id == scope(actor, squad))


def one(actor: Actor, squad: SquadRef, member_id: UUID) -> AnySelect:
    """One member."""
    return select(*COLUMNS).where(Member.squad_id == scope(actor, squad), Member.id == member_id)


async def add(session: AsyncSession, actor: Actor, squad: SquadRef, new: MemberNew) -> UUID:
    """Add a member. Answers its id.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
        Invalid: a person without an account, or an account without a person.
        AlreadyExists: the name is taken, or the person is a member already.
    """
    entered = await enter(session, actor, squad)
    require_owner(actor, entered)
    if (new.kind == "person") != (new.user is not None):
        raise Invalid("A person needs the address of an account, and nobody else has one.", field="body.user")
    user_id = None
    if new.user is not None:
        user_id = await session.scalar(select(User.id).where(func.lower(User.email) == new.user.lower()))
        if user_id is None:
            raise Invalid(f"{new.user} has no account; an administrator makes one.", field="body.user")
    member = Member(
        squad_id=entered.squad_id,
        name=new.name,
        kind=new.kind,
        role=new.role,
        instructions=new.instructions,
        user_id=user_id,
    )
    session.add(member)
    with (
        on_constraint("uq_members_squad_id_name", AlreadyExists(f"There is a member {new.name} already.")),
        on_constraint("uq_members_squad_id_user_id", AlreadyExists(f"{new.user} is a member already.")),
    ):
        await session.flush()
    await events.append(session, entered.squad_id, entered.actor, [added(member)])
    return member.id


def added(member: Member) -> events.Change:
    """The event that a member was added."""
    fields = ("id", "name", "kind", "role", "instructions")
    return {"kind": "member.added", "data": {field: getattr(member, field) for field in fields}}


async def create_token(
    session: AsyncSession, actor: Actor, squad: SquadRef, member: str, name: str
) -> tuple[UUID, str]:
    """Make a token that acts as a member. Answers its id and its secret.

    Args:
        member: its id or its name.

    Raises:
        NotFound: no such squad or member.
        Forbidden: the actor is not the owner, or the member is a person, who has keys of its own.
    """
    entered = await enter(session, actor, squad)
    require_owner(actor, entered)
    found = await session.scalar(
        select(Member).where(
            Member.squad_id == entered.squad_id,
            or_(Member.id == member, Member.name == member),
            Member.retired_at.is_(None),
        )
    )
    if found is None:
        raise NotFound("Member not found")
    if found.kind == "person":
        raise Forbidden(f"{found.name} is a person and comes with a key of its own.")
    secret = keys.new_secret(keys.MEMBER)
    token = MemberToken(squad_id=entered.squad_id, member_id=found.id, name=name, digest=keys.digest(secret))
    session.add(token)
    await session.flush()
    await _tell(session, entered, "member.token_created", token, found.name)
    return token.id, secret


async def revoke_token(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, token_id: str) -> None:
    """End a member token; it is dead everywhere within a second. Doing it twice is no error.

    Raises:
        NotFound: no such squad or token.
        Forbidden: the actor is not the owner.
    """
    entered = await enter(session, actor, squad)
    require_owner(actor, entered)
    row = (
        await session.execute(
            select(MemberToken, Member.name)
            .join(Member, (Member.squad_id == MemberToken.squad_id) & (Member.id == MemberToken.member_id))
            .where(
                MemberToken.squad_id == entered.squad_id,
                MemberToken.id == token_id,
                or_(Member.id == member, Member.name == member),
            )
        )
    ).one_or_none()
    if row is None:
        raise NotFound("Token not found")
    token, name = row
    if token.revoked_at is None:
        token.revoked_at = await session.scalar(select(func.statement_timestamp()))
        await _tell(session, entered, "member.token_revoked", token, name)


async def _tell(session: AsyncSession, entered: Entered, kind: str, token: MemberToken, name: str) -> None:
    data = {"id": token.id, "member": name, "name": token.name}
    await events.append(session, entered.squad_id, entered.actor, [{"kind": kind, "data": data}])
