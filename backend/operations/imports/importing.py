"""Making a squad of a file: read it, load it, hold it against the rules, and tell of it in its log."""

from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import exc, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.exports import Header
from backend.core import failures
from backend.core.errors import Forbidden, Invalid
from backend.core.jsons import dumps
from backend.core.spools import Spool
from backend.models import Member, Squad, User
from backend.operations import events, squads
from backend.operations.access import Actor, SquadRef
from backend.operations.documents import document
from backend.operations.functions import call
from backend.operations.imports import loading, names, rules
from backend.operations.imports.reading import Reading


async def squad(session: AsyncSession, actor: Actor, name: str | None, spool: Spool) -> str:
    """Make a squad of a file: the caller's own, with new ids. Answers `Imported` as JSON.

    Args:
        session: the transaction.
        actor: who asks; its account takes the place of the squad's owner.
        name: how the squad is called here; None: as there.
        spool: the file.

    Raises:
        Forbidden: a member token makes no squads.
        Invalid: the file is wrong; the sentence names the line.
        AlreadyExists: one has a squad of that name.
    """
    if actor.user_id is None:
        raise Forbidden("Only an account may import a squad; use an API key.")
    owner = await session.get_one(User, actor.user_id)
    await session.execute(text("SET LOCAL statement_timeout = 0"))
    await spool.rewind()
    reading = Reading(spool.file)
    try:
        await loading.lay_out(session, reading)
        made = await _make(session, owner.id, name or reading.header.name, reading.header)
        await loading.make_rows(session, made.id, owner.id, reading)
        await rules.hold(session, made.id, reading)
        await names.hold(session, made.id, reading)
    except (asyncpg.PostgresError, exc.DBAPIError) as error:
        raise _refused(error) from error
    last, released, paused = await _tell(session, made, owner, reading, str(spool))
    shown = await document(session, squads.get(actor, SquadRef(made.id, None)))
    outsiders = [row.name for row in reading.known.members.values() if row.kind == "person" and not row.owner]
    return (
        f'{{"squad":{shown},"counts":{reading.trailer.counts.model_dump_json()},"last":{last},"released":{released},'
        f'"outsiders":{dumps(outsiders)},"paused":{dumps(paused)}}}'
    )


async def _make(session: AsyncSession, owner_id: UUID, name: str, header: Header) -> Squad:
    # It is new here, whatever it was: of namesakes the older one comes first.
    fields = header.model_dump(include={"lease_seconds", "max_tries", "paused_at", "archived_at"})
    made = Squad(owner_id=owner_id, name=name, **fields)
    session.add(made)
    with squads.name_taken(name):
        await session.flush()
    return made


async def _tell(
    session: AsyncSession, made: Squad, owner: User, reading: Reading, digest: str
) -> tuple[int, int, list[str]]:
    """Tell where the squad came from, and free what was held: by a lease of another clock.

    Answers the position of the first event, how many attempts were taken back, and who was paused.
    """
    by: dict[str, str | None] = {"member": reading.known.owner, "user": owner.email}
    members = await session.execute(
        select(Member.id, Member.name, Member.kind, Member.user_id.label("user"))
        .where(Member.squad_id == made.id)
        .order_by(Member.name)
    )
    source = reading.header.model_dump(include={"id", "name", "exported_at", "last"}) | {"sha256": digest}
    data: dict[str, Any] = {
        "id": made.id, "owner": owner.id, "name": made.name, "source": source,
        "members": [dict(row) for row in members.mappings()],
    }  # fmt: skip
    last = await events.append(session, made.id, by, [{"kind": "squad.imported", "data": data}])
    if paused := await _pause(session, made.id):
        await events.append(session, made.id, by, [{"kind": "member.paused", "data": row} for row in paused])
    arguments = "let_go_all(:squad, CAST(:actor AS jsonb), NULL, 'imported')"
    released = await call(session, arguments, squad=made.id, actor=dumps(by))
    return last, int(released), [row["member"] for row in paused]


async def _pause(session: AsyncSession, squad_id: UUID) -> list[dict[str, Any]]:
    """Let a file make the server spend nothing: who is hosted waits for the owner. Answers who was paused, by name."""
    paused = await session.execute(
        update(Member)
        .where(
            Member.squad_id == squad_id,
            Member.hosting.is_not(None),
            Member.paused_at.is_(None),
            Member.retired_at.is_(None),
        )
        .values(paused_at=func.clock_timestamp())
        .returning(Member.id, Member.name.label("member"), Member.paused_at)
    )
    return sorted(map(dict, paused.mappings()), key=lambda row: str(row["member"]))


def _refused(error: Exception) -> Exception:
    """A value that PostgreSQL doesn't take, or a row that it refuses: the file's mistake, and not ours."""
    state = failures.sqlstate(error) or ""
    if state[:2] not in ("22", "23", "54"):
        return error
    origin: Any = failures.driver_error(error)
    rule = getattr(origin, "constraint_name", None)
    what = f"a row breaks the rule {rule}" if rule else str(getattr(origin, "message", "a value is unusable"))
    return Invalid(f"The file can't be imported: {what}.", field="body")
