"""Events of members and their tokens."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from agentsquad.schemas.events.base import BaseEvent, Data
from agentsquad.schemas.hosting import Hosting


class MemberData(Data):
    """A member as it was added."""

    id: UUID
    name: str
    kind: str
    role: str
    instructions: str
    user: UUID | None
    hosting: Hosting | None = None


class MemberAdded(BaseEvent):
    """A member joined."""

    kind: Literal["member.added"]
    data: MemberData


class _MemberChange(Data):
    """Of whom: the id stays, the name is the one it has now."""

    id: UUID
    member: str


class MemberChange(_MemberChange):
    """What was changed of a member, and the name it had before."""

    before: str
    name: str | None = None
    role: str | None = None
    instructions: str | None = None
    hosting: Hosting | None = None


class MemberUpdated(BaseEvent):
    """A member was renamed, or its role, its instructions or how it is run were changed."""

    kind: Literal["member.updated"]
    data: MemberChange


class MemberPausedData(_MemberChange):
    """Since when; null: no longer."""

    paused_at: datetime | None


class MemberPaused(BaseEvent):
    """The member claims nothing from now on."""

    kind: Literal["member.paused"]
    data: MemberPausedData


class MemberResumed(BaseEvent):
    """The member claims again."""

    kind: Literal["member.resumed"]
    data: MemberPausedData


class RetiredData(_MemberChange):
    """Since when."""

    retired_at: datetime


class MemberRetired(BaseEvent):
    """The member is gone for good; its tokens are dead."""

    kind: Literal["member.retired"]
    data: RetiredData


class TokenData(_MemberChange):
    """A token, without its secret."""

    token: UUID
    label: str


class TokenCreated(BaseEvent):
    """A member got a token."""

    kind: Literal["member.token_created"]
    data: TokenData


class TokenRevoked(BaseEvent):
    """A member's token was revoked."""

    kind: Literal["member.token_revoked"]
    data: TokenData
