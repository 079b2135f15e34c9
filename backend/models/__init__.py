"""Tables and nothing else."""

from backend.models.base import Base
from backend.models.budgets import Budget
from backend.models.events import Event
from backend.models.idempotency import IdempotencyKey
from backend.models.members import Member, MemberToken
from backend.models.messages import Message, Recipient
from backend.models.squads import Squad
from backend.models.steps import Step
from backend.models.tasks import Attempt, Dependency, Mark, Task
from backend.models.users import ApiKey, User

__all__ = [
    "ApiKey",
    "Attempt",
    "Base",
    "Budget",
    "Dependency",
    "Event",
    "IdempotencyKey",
    "Mark",
    "Member",
    "MemberToken",
    "Message",
    "Recipient",
    "Squad",
    "Step",
    "Task",
    "User",
]
