"""Events of hosted members at work."""

from typing import Literal

from agentsquad.schemas.events.base import BaseEvent
from agentsquad.schemas.steps import Step


class StepStarted(BaseEvent):
    """A model is asked, or a tool is called."""

    kind: Literal["step.started"]
    data: Step


class StepEnded(BaseEvent):
    """A step has ended. One that was open when its attempt ended is unknown, and no event tells so."""

    kind: Literal["step.ended"]
    data: Step
