"""From the log to the squad: what the events say of it, to be compared with the tables.

Every column is compared but these, which no event tells: when a lease ends, when a member was last seen, what was
read, the digests of secrets, tokens of attempts, when squads, members and tokens were made or changed, and of budgets
whether the owner was told and whether a task is waived from them.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

State = dict[str, dict[str, Any]]
ROOMS = ("squad", "members", "tokens", "tasks", "attempts", "messages", "inbox", "steps", "budgets")
SPENT = ("calls", "tokens", "cost", "unpriced", "reserved_calls", "reserved_tokens", "reserved_cost")

# The tables as one document, in the shape of a fold. Members stand by their names.
_TABLES = """
WITH named AS (SELECT id, name FROM members WHERE squad_id = {squad})
SELECT jsonb_build_object(
    'squad', (SELECT jsonb_build_object('id', id, 'owner', owner_id, 'name', name, 'lease_seconds', lease_seconds,
        'max_tries', max_tries, 'paused_at', paused_at, 'archived_at', archived_at) FROM squads WHERE id = {squad}),
    'members', (SELECT coalesce(jsonb_object_agg(name, jsonb_build_object('id', id, 'kind', kind, 'role', role,
        'instructions', instructions, 'hosting', hosting, 'user', user_id, 'paused_at', paused_at,
        'retired_at', retired_at)), '{{}}')
        FROM members WHERE squad_id = {squad}),
    'tokens', (SELECT coalesce(jsonb_object_agg(t.id, jsonb_build_object('member', n.name, 'label', t.name,
        'revoked', t.revoked_at IS NOT NULL)), '{{}}')
        FROM member_tokens t JOIN named n ON n.id = t.member_id WHERE t.squad_id = {squad}
        AND t.task_number IS NULL),
    'tasks', (SELECT coalesce(jsonb_object_agg(t.number, task_facts(t) - 'lease_ends_at' || jsonb_build_object(
        'worker', (SELECT name FROM named WHERE id = t.worker_id))), '{{}}')
        FROM tasks t WHERE t.squad_id = {squad}),
    'attempts', (SELECT coalesce(jsonb_object_agg(format('%s/%s', a.task_number, a.attempt), jsonb_build_object(
        'kind', a.kind, 'member', n.name, 'lease_seconds', a.lease_seconds, 'paths', a.paths, 'outcome', a.outcome,
        'reason', a.reason, 'started_at', a.started_at, 'ended_at', a.ended_at)), '{{}}')
        FROM attempts a JOIN named n ON n.id = a.member_id WHERE a.squad_id = {squad}),
    'messages', (SELECT coalesce(jsonb_object_agg(m.position, jsonb_build_object('task', m.task_number,
        'body', m.body, 'at', m.sent_at, 'sender', (SELECT name FROM named WHERE id = m.sender_id),
        'to', (SELECT name FROM named WHERE id = m.member_id))), '{{}}')
        FROM messages m WHERE m.squad_id = {squad}),
    'inbox', (SELECT coalesce(jsonb_object_agg(format('%s/%s', r.position, n.name), r.acknowledged_at), '{{}}')
        FROM recipients r JOIN named n ON n.id = r.member_id WHERE r.squad_id = {squad}),
    'steps', (SELECT coalesce(jsonb_object_agg(format('%s/%s', s.task_number, s.number), step_json(s)), '{{}}')
        FROM steps s WHERE s.squad_id = {squad}),
    'budgets', (SELECT coalesce(jsonb_object_agg(b.task_number,
        to_jsonb(b) - '{{squad_id,task_number,told_at,waived}}'::text[]), '{{}}')
        FROM budgets b WHERE b.squad_id = {squad} AND (b.calls + b.reserved_calls > 0
            OR num_nonnulls(b.max_tokens, b.max_cost, b.max_calls) > 0))
)
"""


def tables(squad_id: object) -> str:
    """A query for the tables of one squad, as a fold would be."""
    return _TABLES.format(squad=f"'{squad_id}'")


def fold(log: Iterable[Mapping[str, Any]]) -> State:
    """The squad as the events tell it."""
    state: State = {name: {} for name in ROOMS}
    for event in log:
        room, _, verb = str(event["kind"]).partition(".")
        _ROOMS[room](state, event, verb, dict(event["data"]))
    state["budgets"] = {number: budget for number, budget in state["budgets"].items() if _counts(budget)}
    return state


def _squad(state: State, _event: Mapping[str, Any], verb: str, data: dict[str, Any]) -> None:
    if verb == "created":
        data |= {"paused_at": None, "archived_at": None}
    if verb == "budget_set":
        _budget(state, "0").update({f"max_{name}": value for name, value in data.items()})
        return
    if verb == "imported":
        del data["source"]
        for member in data.pop("members"):
            state["members"][member.pop("name")].update(member)
        for task in state["tasks"].values():
            task["squad"] = data["id"]
        state["tokens"].clear()
    state["squad"].update(data)


def _member(state: State, _event: Mapping[str, Any], verb: str, data: dict[str, Any]) -> None:
    match verb:
        case "added":
            name = data.pop("name")
            state["members"][name] = data | {"paused_at": None, "retired_at": None}
        case "token_created":
            token = {"member": data["member"], "label": data["label"], "revoked": False}
            state["tokens"][data["token"]] = token
        case "token_revoked":
            state["tokens"][data["token"]]["revoked"] = True
        case _:
            before, now = data.pop("before", data["member"]), data.pop("member")
            data.pop("name", None)
            if before != now:
                _rename(state, before, now)
            state["members"][now].update(data)


def _rename(state: State, before: str, now: str) -> None:
    """Members stand by their names everywhere, and the log doesn't repeat what only got another name."""
    state["members"][now] = state["members"].pop(before)
    fields = ("assignee", "holder", "worker", "created_by", "member", "sender", "to")
    for room in ("tokens", "tasks", "attempts", "messages", "steps"):
        for item in state[room].values():
            item.update({field: now for field in fields if item.get(field) == before})
    for key in [key for key in state["inbox"] if key.partition("/")[2] == before]:
        state["inbox"][f"{key.partition('/')[0]}/{now}"] = state["inbox"].pop(key)


def _task(state: State, event: Mapping[str, Any], verb: str, data: dict[str, Any]) -> None:
    number = str(event["task"])
    if verb == "budget_set":
        _budget(state, number).update({f"max_{name}": value for name, value in data.items()})
        return
    if verb == "created":
        state["tasks"][number] = data | {"worker": None}
        return
    task, actor = state["tasks"][number], event["actor"]["member"]
    if verb == "claimed":
        own = _begun(data["kind"], data["holder"], data["updated_at"])
        state["attempts"][f"{number}/{data['attempt']}"] = own | {key: data[key] for key in ("lease_seconds", "paths")}
    if "outcome" in data:
        own = state["attempts"].setdefault(
            f"{number}/{data['attempt']}", _begun("work", actor, data["updated_at"])
        )  # an answer is claim and completion in one
        own.update(outcome=data["outcome"], reason=data.get("reason"), ended_at=data["updated_at"])
        for key, step in state["steps"].items():
            if key.startswith(f"{number}/") and step["state"] == "started":
                _end(state, number, step, step | {"state": "unknown", "ended_at": data["updated_at"]})
    if verb == "completed":
        task["worker"] = actor
    task.update({field: value for field, value in data.items() if field in task})


def _begun(kind: str, member: str | None, at: str) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": kind, "member": member, "lease_seconds": None, "paths": [], "started_at": at}
    return told | {"outcome": None, "reason": None, "ended_at": None}


def _message(state: State, event: Mapping[str, Any], verb: str, data: dict[str, Any]) -> None:
    if verb == "sent":
        for name in data.pop("recipients"):
            state["inbox"][f"{event['position']}/{name}"] = None
        state["messages"][str(event["position"])] = data | {"task": event["task"], "at": event["at"]}
    else:
        state["inbox"][f"{data['message']}/{data['member']}"] = data["acknowledged_at"]


def _step(state: State, event: Mapping[str, Any], _verb: str, data: dict[str, Any]) -> None:
    number = str(event["task"])
    step = state["steps"].setdefault(f"{number}/{data['step']}", {})
    if data["state"] == "started":
        step.update(data)
        _book(state, number, data, sign=1)
    else:
        _end(state, number, step, data)


def _end(state: State, number: str, step: dict[str, Any], ended: dict[str, Any]) -> None:
    if step.get("state") == "started":
        _book(state, number, step, sign=-1)
    elif step:  # it was thought lost
        _spend(state, number, step, sign=-1)
    step.update(ended)
    _spend(state, number, step, sign=1)


def _book(state: State, number: str, step: Mapping[str, Any], sign: int) -> None:
    if step["kind"] in ("answer", "summary"):
        for budget in _above(state, number):
            budget["reserved_calls"] += sign
            budget["reserved_tokens"] += sign * step["reserved_tokens"]
            budget["reserved_cost"] += sign * Decimal(str(step["reserved_cost"] or 0))


def _spend(state: State, number: str, step: Mapping[str, Any], sign: int) -> None:
    if step["kind"] in ("answer", "summary"):
        known = step["input_tokens"] is not None
        tokens = step["input_tokens"] + (step["output_tokens"] or 0) if known else step["reserved_tokens"]
        cost = step["cost"] if known else step["reserved_cost"]
        for budget in _above(state, number):
            budget["calls"] += sign
            budget["tokens"] += sign * tokens
            budget["cost"] += sign * Decimal(str(cost or 0))
            budget["unpriced"] += sign * (cost is None)


def _above(state: State, number: str) -> Iterator[dict[str, Any]]:
    """The budgets that a task's spending counts for."""
    task: int | None = int(number)
    while task is not None:
        yield _budget(state, str(task))
        task = state["tasks"][str(task)]["parent"]
    yield _budget(state, "0")


def _counts(budget: Mapping[str, Any]) -> bool:
    """Whether something was spent of it, or a limit was set."""
    limits = [budget[name] for name in ("max_tokens", "max_cost", "max_calls")]
    return budget["calls"] + budget["reserved_calls"] > 0 or limits != [None] * 3


def _budget(state: State, number: str) -> dict[str, Any]:
    none: dict[str, Any] = dict.fromkeys(("max_tokens", "max_cost", "max_calls")) | dict.fromkeys(SPENT, 0)
    budget: dict[str, Any] = state["budgets"].setdefault(number, none)
    return budget


_ROOMS = {"squad": _squad, "member": _member, "task": _task, "message": _message, "step": _step}


def differences(log: Iterable[Mapping[str, Any]], there: State) -> list[str]:
    """Where the log and the tables disagree; empty when they agree."""
    log = list(log)
    found = []
    positions = [event["position"] for event in log]
    if positions != list(range(1, len(log) + 1)):
        found.append(f"the positions are not 1 to {len(log)}: {positions[:20]} …")
    state = fold(log)
    for room, items in state.items():
        found += [
            f"{room} {key}: the log says {items.get(key)}, the tables {there[room].get(key)}"
            for key in sorted(items.keys() | there[room].keys())
            if _plain(items.get(key)) != _plain(there[room].get(key))
        ]
    return found


def _plain(value: Any) -> Any:
    """Times and dollars are equal however they are written."""
    if isinstance(value, (float, Decimal)):
        return round(float(value), 9)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str) and value[10:11] == "T" and value[:4].isdecimal():
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value
