"""The board: making tasks, holding them, steering them, reading them.

Each move on the board is an SQL function, one round trip; their `.sql` lies beside these modules. What they
answer is JSON that PostgreSQL built, in the shapes of agentsquad/schemas/tasks.py.
"""

from backend.operations.tasks.around import relatives
from backend.operations.tasks.holding import (
    accept,
    claim,
    complete,
    fail,
    handoff,
    heartbeat,
    heartbeat_all,
    reject,
    release,
    renew,
    wait_for_children,
)
from backend.operations.tasks.hosting import claim_hosted, live, waiting
from backend.operations.tasks.making import ask, create
from backend.operations.tasks.reading import Wanted, attempts, board, claimable, get, page, questions, why
from backend.operations.tasks.steering import (
    add_dependency,
    answer,
    block,
    cancel,
    remove_dependency,
    resume,
    retry,
    update,
)
from backend.operations.tasks.sweeping import lapse, over
from backend.operations.tasks.tokens import create_token

__all__ = [
    "Wanted",
    "accept",
    "add_dependency",
    "answer",
    "ask",
    "attempts",
    "block",
    "board",
    "cancel",
    "claim",
    "claim_hosted",
    "claimable",
    "complete",
    "create",
    "create_token",
    "fail",
    "get",
    "handoff",
    "heartbeat",
    "heartbeat_all",
    "lapse",
    "live",
    "over",
    "page",
    "questions",
    "reject",
    "relatives",
    "release",
    "remove_dependency",
    "renew",
    "resume",
    "retry",
    "update",
    "wait_for_children",
    "waiting",
    "why",
]
