"""The journal of hosted members: step by step what their models were told, answered and did."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

StepKind = Literal["prompt", "answer", "tool", "summary"]
ASKING: Final[tuple[StepKind, ...]] = ("answer", "summary")  # those for which a model is asked
StepState = Literal["started", "finished", "failed", "unknown"]


class Step(BaseModel):
    """One step at a task. What a call of a model may cost is reserved before it; an unknown cost is null."""

    step: int = Field(description="1, 2, 3 … over all attempts at the task.")
    attempt: int
    member: str
    kind: StepKind = Field(
        description="`prompt`: what the model was told; `answer`: what it answered; `tool`: a call and its result; "
        "`summary`: what stands for older steps from then on."
    )
    state: StepState = Field(description="`unknown`: its attempt ended before anybody told how it came out.")
    name: str = Field(description="The model, or the tool.")
    content: Any = Field(
        description="As JSON, of any size: what a model reads and says is longer than a result may be."
    )
    reserved_tokens: int
    reserved_cost: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None = Field(description="In dollars; null: unknown.")
    started_at: datetime
    ended_at: datetime | None


class StepText(BaseModel):
    """A piece of what a model says, as it comes. It is no event: it has no position, is kept nowhere, and may be lost.

    What was said is whole in the event of its step, `step.ended`; a piece of a step that has ended may still come.
    """

    kind: Literal["step.text"] = "step.text"
    task: int
    attempt: int
    member: str
    step: int = Field(description="Which step of the task it becomes.")
    offset: int = Field(
        description="How many characters come before it. 0: the answer begins, anew if some of it has come before. "
        "Where it isn't what has come so far, some is missing."
    )
    text: str = Field(description="May be empty where an answer begins anew.")


class Steps(BaseModel):
    """A page of a task's steps, in order."""

    items: list[Step]
    next: int | None = Field(default=None, description="Give it as `cursor` for the next page; null on the last.")
