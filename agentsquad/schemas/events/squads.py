"""Events of the squad itself."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from agentsquad.schemas.events.base import BaseEvent, Data


class SquadData(Data):
    """A squad as it was made."""

    id: UUID
    owner: UUID | None = Field(description="null: an account of another server.")
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


class ImportedMember(Data):
    """A member as it is here: of all the accounts of the other server only its owner's place was taken by one."""

    id: UUID
    name: str
    kind: str
    user: UUID | None


class Source(Data):
    """What was imported: the squad's id and name there, when it was exported, its last position, the file's digest."""

    id: UUID
    name: str
    exported_at: datetime
    last: int
    sha256: str


class ImportedData(Data):
    """The squad as it is here; tokens of the other server open nothing."""

    id: UUID
    owner: UUID | None = Field(description="null: an account of another server.")
    name: str
    source: Source
    members: list[ImportedMember]


class SquadImported(BaseEvent):
    """The squad, with all that the log tells before, came from a file."""

    kind: Literal["squad.imported"]
    data: ImportedData
