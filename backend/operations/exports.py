"""A squad as JSON lines (agentsquad/schemas/exports.py), from one snapshot. PostgreSQL builds them; none is in memory.

No secret goes out: no token, no key. Of accounts only the addresses of persons and of who did what.
"""

from itertools import chain
from typing import Any, Final

from sqlalchemy import JSON, func, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.exports import FORMAT
from backend.core import bulk
from backend.core.errors import Forbidden, NotFound
from backend.core.jsons import dumps
from backend.core.spools import Spool
from backend.core.statements import AnySelect
from backend.models import Event, Squad
from backend.operations.access import Actor, SquadRef, scope

# Of each kind: the fields of its rows, and where they come from.
_ROWS: Final = {
    "member": (
        """
        'name', m.name, 'kind', m.kind, 'role', m.role, 'instructions', m.instructions, 'hosting', m.hosting,
        'email', u.email, 'owner', m.user_id IS NOT NULL AND m.user_id = s.owner_id,
        'last_seen_at', m.last_seen_at, 'paused_at', m.paused_at, 'retired_at', m.retired_at,
        'created_at', m.created_at, 'updated_at', m.updated_at
        """,
        """
        members m JOIN squads s ON s.id = m.squad_id LEFT JOIN users u ON u.id = m.user_id
        WHERE m.squad_id = $1 ORDER BY m.name COLLATE "C"
        """,
    ),
    "task": (
        """
        'number', t.number, 'title', t.title, 'description', t.description, 'input', t.input, 'role', t.role,
        'assignee', assignee.name, 'priority', t.priority, 'status', t.status, 'blocked_on', t.blocked_on,
        'blocked_by', t.blocked_by, 'review', t.review, 'worker', worker.name, 'rejections', t.rejections,
        'parent', t.parent, 'holder', holder.name, 'attempt', t.attempt, 'tries_left', t.tries_left,
        'result', t.result, 'creator', creator.name, 'created_at', t.created_at, 'updated_at', t.updated_at
        """,
        """
        tasks t LEFT JOIN members assignee ON (assignee.squad_id, assignee.id) = (t.squad_id, t.assignee_id)
        LEFT JOIN members worker ON (worker.squad_id, worker.id) = (t.squad_id, t.worker_id)
        LEFT JOIN members holder ON (holder.squad_id, holder.id) = (t.squad_id, t.holder_id)
        LEFT JOIN members creator ON (creator.squad_id, creator.id) = (t.squad_id, t.creator_id)
        WHERE t.squad_id = $1 ORDER BY t.number
        """,
    ),
    "dependency": (
        "'task', d.task_number, 'depends_on', d.depends_on",
        "dependencies d WHERE d.squad_id = $1 ORDER BY d.task_number, d.depends_on",
    ),
    "attempt": (
        """
        'task', a.task_number, 'attempt', a.attempt, 'kind', a.kind, 'member', m.name,
        'lease_seconds', a.lease_seconds, 'paths', a.paths, 'outcome', a.outcome, 'reason', a.reason,
        'started_at', a.started_at, 'ended_at', a.ended_at
        """,
        """
        attempts a JOIN members m ON (m.squad_id, m.id) = (a.squad_id, a.member_id)
        WHERE a.squad_id = $1 ORDER BY a.task_number, a.attempt
        """,
    ),
    "step": (
        """
        'task', p.task_number, 'number', p.number, 'attempt', p.attempt, 'member', m.name, 'kind', p.kind,
        'state', p.state, 'name', p.name, 'content', p.content, 'reserved_tokens', p.reserved_tokens,
        'reserved_cost', p.reserved_cost, 'input_tokens', p.input_tokens, 'output_tokens', p.output_tokens,
        'cost', p.cost, 'started_at', p.started_at, 'ended_at', p.ended_at
        """,
        """
        steps p JOIN members m ON (m.squad_id, m.id) = (p.squad_id, p.member_id)
        WHERE p.squad_id = $1 ORDER BY p.task_number, p.number
        """,
    ),
    "budget": (
        """
        'task', nullif(b.task_number, 0), 'max_tokens', b.max_tokens, 'max_cost', b.max_cost,
        'max_calls', b.max_calls, 'tokens', b.tokens, 'cost', b.cost, 'calls', b.calls, 'unpriced', b.unpriced,
        'told_at', b.told_at, 'waived', b.waived
        """,
        "budgets b WHERE b.squad_id = $1 ORDER BY b.task_number",
    ),
    "message": (
        """
        'position', w.position, 'sender', sender.name, 'to', receiver.name, 'task', w.task_number, 'body', w.body,
        'sent_at', w.sent_at
        """,
        """
        messages w LEFT JOIN members sender ON (sender.squad_id, sender.id) = (w.squad_id, w.sender_id)
        LEFT JOIN members receiver ON (receiver.squad_id, receiver.id) = (w.squad_id, w.member_id)
        WHERE w.squad_id = $1 ORDER BY w.position
        """,
    ),
    "recipient": (
        "'position', r.position, 'member', m.name, 'read_at', r.read_at, 'acknowledged_at', r.acknowledged_at",
        """
        recipients r JOIN members m ON (m.squad_id, m.id) = (r.squad_id, r.member_id)
        WHERE r.squad_id = $1 ORDER BY r.position, m.name COLLATE "C"
        """,
    ),
    # The ids of accounts stay here: they mean nothing elsewhere.
    "event": (
        """
        'position', e.position, 'kind', e.kind, 'at', e.at, 'actor', e.actor, 'task', e.task, 'attempt', e.attempt,
        'data', CASE e.kind
            WHEN 'squad.created' THEN e.data || '{"owner": null}'
            WHEN 'member.added' THEN e.data || '{"user": null}'
            WHEN 'squad.imported' THEN e.data || jsonb_build_object('owner', NULL, 'members', (
                SELECT jsonb_agg(i.value || '{"user": null}' ORDER BY i.ordinality)
                FROM jsonb_array_elements(e.data -> 'members') WITH ORDINALITY i))
            ELSE e.data END
        """,
        "events e WHERE e.squad_id = $1 ORDER BY e.position",
    ),
}
# No character of JSON is one of these, so a line of COPY is the text as it is.
_AS_IT_IS: Final = {"format": "csv", "delimiter": "\x02", "quote": "\x01"}


async def squad(session: AsyncSession, actor: Actor, ref: SquadRef, spool: Spool) -> str:
    """Write a squad to a spool, as it is in one snapshot. Answers its name.

    It goes to a file and not to the caller: a slow one would hold the snapshot for as long as he pleases.

    Args:
        session: the transaction, in which nothing was asked yet.
        actor: who asks.
        ref: which squad.
        spool: where the lines go.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
    """
    await spool.clear()
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
    found = (await session.execute(_header(actor, ref))).one_or_none()
    if found is None:
        raise NotFound("Squad not found")
    if found.owner_id != actor.user_id or actor.acts_as is not None:
        raise Forbidden("Only the squad's owner may export it.")
    await session.execute(text("SET LOCAL statement_timeout = 0"))
    await spool.write(_line(found.header))
    driver = await bulk.driver(session)
    counts = {}
    for kind, (fields, rows) in _ROWS.items():
        query = f"SELECT json_build_object('kind', '{kind}', 'row', json_build_object({fields})) FROM {rows}"  # noqa: S608  (constants)
        status = await driver.copy_from_query(query, found.id, output=spool.write, **_AS_IT_IS)
        counts[kind] = int(status.removeprefix("COPY "))
    await spool.write(_line({"kind": "end", "counts": counts, "sha256": str(spool)}))
    await spool.rewind()
    return str(found.name)


def _header(actor: Actor, ref: SquadRef) -> AnySelect:
    last = select(func.coalesce(func.max(Event.position), 0)).where(Event.squad_id == Squad.id).correlate(Squad)
    fields = (
        Squad.id, Squad.name, Squad.lease_seconds, Squad.max_tries, Squad.paused_at, Squad.archived_at,
        Squad.created_at, func.statement_timestamp().label("exported_at"), last.scalar_subquery().label("last"),
    )  # fmt: skip
    pairs: list[Any] = list(chain.from_iterable((literal_column(f"'{field.name}'"), field) for field in fields))
    header = func.json_build_object("kind", "squad", "format", FORMAT, *pairs, type_=JSON)
    return select(Squad.id, Squad.name, Squad.owner_id, header.label("header")).where(Squad.id == scope(actor, ref))


def _line(value: Any) -> bytes:
    return dumps(value).encode() + b"\n"
