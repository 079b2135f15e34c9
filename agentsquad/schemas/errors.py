"""What an error looks like on the wire."""

from pydantic import BaseModel, ConfigDict, Field


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(examples=["body.tasks.3.title"])
    message: str


class Error(BaseModel):
    """Every answer with a status of 400 or more. Fields such as `task` and `attempt` may stand beside these."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(examples=["lost_claim"])
    detail: str = Field(examples=["#12 is held by tess (attempt 4)."])
    errors: list[FieldError] = []
