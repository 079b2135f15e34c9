"""A large board, made within the database: what PostgreSQL's planner decides on when squads have grown.

Eight large squads hold all tasks, between two thousand small ones. What hasn't ended is among the newest tenth
of each, as on a board that has been used for long: whoever looks for it from the start finds nothing for long.
In every second large squad all reviews are for testers; member 19 has a role without tasks.
"""

import hashlib
from contextlib import closing
from typing import Final
from uuid import UUID

import psycopg2

LARGE: Final = 8
SQUADS: Final = 2_000
MEMBERS: Final = 20  # of a large squad; the first is its owner
ROLES: Final = ("backend", "tester", "writer", "lead", "")
EVENTS: Final = 5  # per task

_PEOPLE: Final = """
INSERT INTO users (id, email) SELECT pg_temp.id('user', n), n || '@example.com' FROM generate_series(1, {squads}) n;
INSERT INTO api_keys (id, user_id, digest)
SELECT pg_temp.id('key', n), pg_temp.id('user', n), sha256(('user' || n)::bytea) FROM generate_series(1, {squads}) n;
INSERT INTO squads (id, owner_id, name)
SELECT pg_temp.id('squad', n), pg_temp.id('user', n), 'squad' || n FROM generate_series(1, {squads}) n;
INSERT INTO members (squad_id, id, name, kind, role, user_id)
SELECT pg_temp.id('squad', s), pg_temp.id('member' || s, m), CASE m WHEN 0 THEN 'owner' ELSE 'm' || m END,
    CASE m WHEN 0 THEN 'person' ELSE 'external' END,
    CASE m WHEN 19 THEN 'nobody' ELSE ('{roles}'::text[])[m % 5 + 1] END, CASE m WHEN 0 THEN pg_temp.id('user', s) END
FROM generate_series(1, {squads}) s, generate_series(0, CASE WHEN s <= {large} THEN {members} ELSE 5 END - 1) m;
INSERT INTO member_tokens (squad_id, id, member_id, digest)
SELECT squad_id, pg_temp.id('token', row_number() OVER ()::int), id, sha256((id::text)::bytea) FROM members;
"""

_TASKS: Final = """
INSERT INTO tasks (squad_id, number, title, description, role, assignee_id, priority, status, blocked_on, review,
    worker_id, parent, holder_id, attempt, lease_ends_at, result, creator_id)
SELECT pg_temp.id('squad', s), n, 'Task ' || n, repeat('What is to be done. ', 5),
    CASE WHEN n > {each} - {each} / 100 AND n % 7 = 0 THEN 'rare' ELSE ('{roles}'::text[])[n % 5 + 1] END,
    CASE WHEN n % 10 = 9 THEN pg_temp.id('member' || s, 1 + n / 10 % 18) END, n % 5, status,
    CASE status WHEN 'blocked' THEN 'dependencies' END,
    CASE status WHEN 'in_review' THEN ('{{tester,""}}'::text[])[n * s % 2 + 1] END,
    CASE WHEN status IN ('done', 'in_review') THEN pg_temp.id('member' || s, 1 + n % 19) END,
    CASE WHEN n % 10 BETWEEN 1 AND 3 THEN nullif(n - n % 10, 0) END,
    CASE status WHEN 'in_progress' THEN pg_temp.id('member' || s, 1 + n % 19) END,
    (status NOT IN ('todo', 'blocked'))::int,
    CASE status WHEN 'in_progress' THEN clock_timestamp() + interval '1 hour' END,
    CASE status WHEN 'done' THEN '{{"text": "It is done."}}'::jsonb END, pg_temp.id('member' || s, 0)
FROM generate_series(1, {large}) s, generate_series(1, {each}) n, LATERAL (SELECT CASE
    WHEN n <= {each} - {each} / 10 OR h < 40 THEN CASE WHEN h % 20 = 0 THEN 'failed' WHEN h % 20 = 1 THEN 'cancelled'
        ELSE 'done' END
    WHEN h < 55 THEN 'blocked' WHEN h < 90 THEN 'todo' WHEN h < 95 THEN 'in_progress' ELSE 'in_review' END AS status
    FROM (SELECT abs(hashint4(n)) % 100 AS h OFFSET 0) spread) made;
INSERT INTO dependencies (squad_id, task_number, depends_on)
SELECT squad_id, number, number - 1 FROM tasks WHERE number > 1 AND (status = 'blocked' OR number % 5 = 0);
INSERT INTO attempts (squad_id, task_number, attempt, member_id, outcome, ended_at)
SELECT squad_id, number, 1, coalesce(holder_id, worker_id, creator_id),
    CASE WHEN holder_id IS NULL THEN 'completed' END, CASE WHEN holder_id IS NULL THEN clock_timestamp() END
FROM tasks WHERE attempt = 1;
"""

_LOG: Final = """
INSERT INTO events (squad_id, position, kind, actor, task, data)
SELECT pg_temp.id('squad', s), p,
    CASE WHEN p % 5000 = 0 THEN 'task.stuck' ELSE ('{{task.created,task.claimed,task.completed,task.updated,
        message.sent}}'::text[])[p % 5 + 1] END,
    '{{"member": "m1", "user": null}}', (p - 1) / {events} + 1,
    jsonb_build_object('status', 'done', 'role', 'backend', 'title', repeat('Task ', 10))
FROM generate_series(1, {large}) s, generate_series(1, {each} * {events}) p;
INSERT INTO messages (squad_id, position, sender_id, task_number, body, sent_at)
SELECT squad_id, position, NULL, task, 'Something was said.', at FROM events WHERE position % 20 = 4;
INSERT INTO recipients (squad_id, member_id, position, read_at)
SELECT m.squad_id, r.id, m.position,
    CASE WHEN m.position < {each} * {events} - 600 THEN clock_timestamp() END
FROM messages m JOIN members r ON r.squad_id = m.squad_id
WHERE abs(hashint4((m.position + ascii(right(r.name, 1)))::int)) % 4 = 0;
"""


def fill(url: str, tasks: int) -> None:
    """Put that many tasks, and five times as many events, into an empty database, and let the planner know."""
    numbers = {"large": LARGE, "squads": SQUADS, "members": MEMBERS, "events": EVENTS, "each": tasks // LARGE}
    roles = "{" + ",".join(role or '""' for role in ROLES) + "}"
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        # The rows agree with one another as they are; foreign keys need not be asked for each.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "CREATE FUNCTION pg_temp.id(kind text, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS "
            "$$ SELECT md5(kind || '/' || n)::uuid $$"
        )
        for part in (_PEOPLE, _TASKS, _LOG):
            cursor.execute(part.format(**numbers, roles=roles))
        cursor.execute("VACUUM (ANALYZE)")


def made_id(kind: str, number: int) -> UUID:
    """The id of something on the large board."""
    return UUID(hashlib.md5(f"{kind}/{number}".encode(), usedforsecurity=False).hexdigest())
