"""What every event has."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Actor(BaseModel):
    """Who did it: the member as whom, and the account behind it. Both null: the server."""

    member: str | None
    user: str | None


class BaseEvent(BaseModel):
    """Where it stands in the log, when and by whom; and of which task and attempt it tells, if of one."""

    position: int
    at: datetime
    actor: Actor
    task: int | None
    attempt: int | None


class Data(BaseModel):
    """Nothing is told that isn't described here."""

    model_config = ConfigDict(extra="forbid")
