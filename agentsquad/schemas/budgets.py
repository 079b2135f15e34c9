"""What hosted members have spent, and what they may."""

from pydantic import BaseModel, Field

from agentsquad.schemas.fields import Amount, Dollars, Incoming


class BudgetNew(Incoming):
    """The limits from now on; null: none. What is blocked by the old ones goes on."""

    tokens: Amount | None = None
    cost: Dollars | None = None
    calls: Amount | None = Field(default=None, description="Calls of models.")


class Spent(BaseModel):
    """What was spent. Calls of unknown price are counted, and cost nothing here."""

    calls: int
    tokens: int
    cost: float = Field(description="Dollars, of the calls whose price is known.")
    unpriced: int = Field(description="Calls whose price is unknown.")


class Budget(Spent):
    """What was spent and may be: by a task with all that is below it, or by the squad."""

    max_calls: int | None
    max_tokens: int | None
    max_cost: float | None
    reserved_calls: int = Field(description="Calls under way.")
    reserved_tokens: int
    reserved_cost: float


class MemberSpent(Spent):
    """What a member has spent."""

    member: str


class Usage(BaseModel):
    """What a squad has spent: as a whole, and each hosted member that spent something."""

    squad: Budget
    members: list[MemberSpent]


class AttemptSpent(Spent):
    """What an attempt has spent."""

    attempt: int


class TaskUsage(BaseModel):
    """What a task has spent: with all that is below it, and each attempt at itself."""

    task: Budget
    attempts: list[AttemptSpent]
