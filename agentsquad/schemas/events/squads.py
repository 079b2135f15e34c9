"""Events of the squad itself."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from agentsquad.schemas.events.base import BaseEvent, Data


class SquadData(Data):
    """A squad as it was made."""

    id: UUID
    owner: UUID
    name: str
    lease_seconds: int
    max_tries: int


class SquadCreated(BaseEvent):
    """A squad was made."""

    kind: Literal["squad.created"]
    data: SquadData


class SquadChange(Data):
    """What was changed of a squad."""

    name: str | None = None
    lease_seconds: int | None = None
    max_tries: int | None = None


class SquadUpdated(BaseEvent):
    """A squad was renamed, or its lease or tries were changed."""

    kind: Literal["squad.updated"]
    data: SquadChange


class PausedData(Data):
    """Since when; null: no longer."""

    paused_at: datetime | None


class SquadPaused(BaseEvent):
    """Nobody in the squad claims anything from now on."""

    kind: Literal["squad.paused"]
    data: PausedData


class SquadResumed(BaseEvent):
    """The squad goes on."""

    kind: Literal["squad.resumed"]
    data: PausedData


class ArchivedData(Data):
    """Since when; null: no longer."""

    archived_at: datetime | None


class SquadArchived(BaseEvent):
    """The squad takes no more writes."""

    kind: Literal["squad.archived"]
    data: ArchivedData


class SquadUnarchived(BaseEvent):
    """The squad is open again."""

    kind: Literal["squad.unarchived"]
    data: ArchivedData
