"""Events of messages."""

from datetime import datetime
from typing import Literal

from agentsquad.schemas.events.base import BaseEvent, Data


class MessageData(Data):
    """A message and in whose inbox it lies. Its key is the event's position."""

    sender: str | None
    to: str | None
    body: str
    recipients: list[str]


class MessageSent(BaseEvent):
    """A message was sent."""

    kind: Literal["message.sent"]
    data: MessageData


class AcknowledgedData(Data):
    """Which message, and whose."""

    message: int
    member: str
    acknowledged_at: datetime


class MessageAcknowledged(BaseEvent):
    """A recipient has taken care of a message."""

    kind: Literal["message.acknowledged"]
    data: AcknowledgedData
