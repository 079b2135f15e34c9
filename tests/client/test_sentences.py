"""A sentence for each kind of event."""

from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from agentsquad.schemas.events import Event, kinds
from agentsquad.sentences import sentence

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
ID = str(UUID(int=7))
AT = "2026-11-26T09:01:12Z"
STATE: dict[str, Any] = {
    "status": "todo", "blocked_on": None, "blocked_by": None, "role": "tester", "assignee": None, "holder": None,
    "attempt": 3, "tries_left": 2, "rejections": 0, "updated_at": AT,
}  # fmt: skip
FACTS = STATE | {
    "squad": ID, "number": 12, "title": "Mend\n  it", "description": "", "input": {}, "review": None, "priority": 2,
    "depends_on": [], "parent": None, "result": None, "created_by": "owner", "created_at": AT,
}  # fmt: skip
TESS = {"id": ID, "member": "tess"}
NEW = {"id": ID, "name": "tess", "kind": "external", "role": "tester", "instructions": "", "user": None}
HOSTING = {"model": "x\ny", "base_url": "http://localhost"}
STEP: dict[str, Any] = {
    "step": 4, "attempt": 3, "member": "ada", "kind": "answer", "state": "finished", "name": "m:x", "content": None,
    "reserved_tokens": 900, "reserved_cost": 0.05, "input_tokens": 30, "output_tokens": 4, "cost": 0.0042,
    "started_at": AT, "ended_at": AT,
}  # fmt: skip
ASKED = STEP | {"state": "started", "input_tokens": None, "output_tokens": None, "cost": None, "ended_at": None}
ANSWER = {
    "message": {
        "parts": [
            {"part_kind": "text", "content": "Two\nparts."},
            {"part_kind": "tool-call", "tool_name": "create_tasks", "args": "{}"},
        ]
    }
}
CALL = {"kind": "tool", "name": "send", "cost": None, "content": {"arguments": {"to": "tess"}, "result": "sent"}}
PROMPT = {"kind": "prompt", "name": "", "cost": None, "content": {"text": "Go."}}
SUMMARY = {"kind": "summary", "content": {"text": "So far.", "up_to": 3}}
SOURCE = {"id": ID, "name": "web", "exported_at": AT, "last": 7, "sha256": "00"}
# Of each kind some data, and what they say; `ada` does it, and #12 is the task.
SAID: list[tuple[str, dict[str, Any], str]] = [
    ("squad.created", {"id": ID, "owner": ID, "name": "web", "lease_seconds": 60, "max_tries": 3},
     "ada made the squad web."),
    ("squad.updated", {"name": "shop", "lease_seconds": 90}, "ada changed the squad: name shop, lease seconds 90."),
    ("squad.paused", {"paused_at": AT}, "ada paused the squad."),
    ("squad.resumed", {"paused_at": None}, "ada let the squad go on."),
    ("squad.archived", {"archived_at": AT}, "ada archived the squad."),
    ("squad.unarchived", {"archived_at": None}, "ada opened the squad again."),
    ("squad.imported", {"id": ID, "owner": ID, "name": "copy", "source": SOURCE, "members": []},
     "ada brought the squad in from a file, as copy."),
    ("member.added", NEW, "ada added tess as tester."),
    ("member.added", NEW | {"role": ""}, "ada added tess."),
    ("member.added", NEW | {"kind": "hosted", "hosting": HOSTING}, "ada added tess as tester, with the model x y."),
    ("member.updated", TESS | {"before": "tess", "hosting": HOSTING}, "ada changed tess: model x y."),
    ("member.updated", TESS | {"before": "tess", "hosting": None}, "ada changed tess: model none."),
    ("member.updated", TESS | {"before": "tom", "name": "tess", "role": "", "instructions": "secret"},
     "ada changed tom: name tess, role none, instructions."),
    ("member.paused", TESS | {"paused_at": AT}, "ada paused tess."),
    ("member.resumed", TESS | {"paused_at": None}, "ada let tess go on."),
    ("member.retired", TESS | {"retired_at": AT}, "ada retired tess."),
    ("member.token_created", TESS | {"token": ID, "label": "laptop"}, "ada made a token for tess (laptop)."),
    ("member.token_revoked", TESS | {"token": ID, "label": ""}, "ada revoked a token of tess."),
    ("task.created", FACTS, "ada made #12: Mend it"),
    ("task.updated", STATE | {"title": "x", "depends_on": []}, "ada changed #12: depends on, title."),
    ("task.updated", STATE, "ada changed #12."),
    ("task.claimed", STATE | {"kind": "work"}, "ada claimed #12 (attempt 3)."),
    ("task.claimed", STATE | {"kind": "review"}, "ada reviews #12 (attempt 3)."),
    ("task.claimed", STATE | {"kind": "work", "lease_seconds": 900, "paths": ["src/", "*.md"]},
     "ada claimed #12 (attempt 3); reserved: src/, *.md."),
    ("task.claimed", STATE | {"kind": "work", "paths": ["x" * 500]},
     f"ada claimed #12 (attempt 3); reserved: {'x' * 120} …."),
    ("task.completed", STATE | {"status": "done", "result": 1}, "ada completed #12."),
    ("task.completed", STATE | {"status": "in_review", "result": 1}, "ada completed #12; it waits for a review."),
    ("task.failed", STATE | {"status": "failed", "reason": "no key"}, "ada failed #12: no key"),
    ("task.failed", STATE | {"reason": ""}, "ada failed #12; it is free again."),
    ("task.lapsed", STATE, "The lease of #12 (attempt 3) lapsed; it is free again."),
    ("task.lapsed", STATE | {"status": "failed"}, "The lease of #12 (attempt 3) lapsed; no try is left."),
    ("task.released", STATE | {"reason": "paused"}, "ada gave #12 back: paused"),
    ("task.handed_off", STATE | {"assignee": "tess", "reason": "yours"}, "ada handed #12 to tess: yours"),
    ("task.handed_off", STATE | {"role": ""}, "ada handed #12 to anybody."),
    ("task.waiting", STATE | {"status": "blocked"}, "ada waits for the parts of #12."),
    ("task.waiting", STATE, "ada waits for the parts of #12, which have all ended: it is free again."),
    ("task.accepted", STATE | {"status": "done"}, "ada accepted #12."),
    ("task.rejected", STATE | {"reason": "no date"}, "ada rejected #12: no date"),
    ("task.unblocked", STATE, "#12 is free: what it waited for has ended."),
    ("task.stuck", STATE | {"status": "blocked", "ended": [3, 4]}, "#12 is stuck: #3, #4 ended without being done."),
    ("task.cancelled", STATE | {"status": "cancelled", "reason": "x" * 200}, f"ada cancelled #12: {'x' * 120} …"),
    ("task.retried", STATE, "ada opened #12 again."),
    ("task.blocked", STATE | {"status": "blocked", "reason": "money"}, "ada blocked #12: money"),
    ("task.resumed", STATE, "ada let #12 go on."),
    ("squad.budget_set", {"tokens": 200_000, "cost": 5, "calls": 100},
     "ada set the budget of #12: $5.00, 200,000 tokens, 100 calls."),
    ("task.budget_set", {"tokens": None, "cost": None, "calls": None}, "ada set the budget of #12: no limit."),
    ("step.started", ASKED, "ada asks m:x about #12."),
    ("step.started", ASKED | SUMMARY | {"content": None}, "ada lets m:x sum up what was done about #12."),
    ("step.started", ASKED | CALL | {"content": {"arguments": {}}}, "ada calls send for #12: {}"),
    ("step.ended", STEP | PROMPT, "ada was told about #12: Go."),
    ("step.ended", STEP, "m:x answered ada about #12 ($0.0042)."),
    ("step.ended", STEP | {"content": ANSWER},
     "m:x answered ada about #12 ($0.0042): Two parts. calls create_tasks {}"),
    ("step.ended", STEP | {"content": ANSWER, "cost": None},
     "m:x answered ada about #12 (cost unknown): Two parts. calls create_tasks {}"),
    ("step.ended", STEP | CALL, "ada called send for #12: sent"),
    ("step.ended", STEP | SUMMARY, "m:x summed up what was done about #12 ($0.0042): So far."),
    ("step.ended", STEP | {"state": "failed", "content": {"error": "429"}, "cost": 0},
     "m:x failed ada at #12 ($0.00): 429"),
    ("step.ended", STEP | CALL | {"state": "failed"}, "send failed ada at #12: sent"),
    ("step.ended", STEP | {"state": "unknown"},
     "What m:x answered ada about #12 came too late, and only its cost counts ($0.0042)."),
    ("step.ended", STEP | CALL | {"state": "unknown"},
     "What send did for ada at #12 came too late, and counts for nothing."),
    ("message.sent", {"sender": "ada", "to": "tess", "body": "a\n\nb", "recipients": []},
     "ada wrote to tess about #12: a b"),
    ("message.sent", {"sender": None, "to": None, "body": "hm", "recipients": []}, "The server wrote about #12: hm"),
    ("message.acknowledged", {"message": 7, "member": "tess", "acknowledged_at": AT},
     "tess has taken care of message 7."),
]  # fmt: skip


def event(kind: str, data: dict[str, Any], task: int | None = 12, member: str | None = "ada") -> Event:
    return EVENT.validate_python(
        {"position": 1, "kind": kind, "at": AT, "actor": {"member": member, "user": None}, "task": task, "attempt": 3,
         "data": data}
    )  # fmt: skip


def test_no_kind_is_forgotten() -> None:
    assert {kind for kind, *_ in SAID} == set(kinds())


@pytest.mark.parametrize(("kind", "data", "said"), SAID, ids=[kind for kind, *_ in SAID])
def test_each_says_what_happened(kind: str, data: dict[str, Any], said: str) -> None:
    assert sentence(event(kind, data)) == said


def test_who_it_was_and_to_whom() -> None:
    assert sentence(event("task.retried", STATE, member=None)) == "The server opened #12 again."
    limits = {"tokens": None, "cost": None, "calls": 7}
    assert sentence(event("squad.budget_set", limits, task=None)) == "ada set the budget of the squad: 7 calls."
    body = {"sender": "ada", "to": None, "body": "hm", "recipients": ["tess"]}
    assert sentence(event("message.sent", body, task=None)) == "ada wrote to everybody: hm"
