"""The environment, read once into one frozen object; an attribute is named as its variable.

`settings` is the process's default instance, made on first access: importing reads nothing.
"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.core.errors import StartError


class Settings(BaseSettings):
    """What the environment says. Every field may also be given by keyword, as tests do."""

    model_config = SettingsConfigDict(frozen=True, case_sensitive=True, extra="forbid", env_ignore_empty=True)

    DATABASE_URL: str = Field(
        default="",
        description="PostgreSQL 15 or newer, as postgresql://user:password@host:port/name; "
        "empty means the bundled PostgreSQL in SQUAD_HOME.",
    )
    SQUAD_HOME: Path = Field(
        default=Path("~/.agentsquad"),
        description="Folder of the keys and of the bundled PostgreSQL's data.",
    )
    SQUAD_HOST: str = Field(default="127.0.0.1", min_length=1, description="Address that `asq serve` binds to.")
    SQUAD_PORT: int = Field(
        default=8000, ge=0, le=65535, description="Port that `asq serve` binds to; 0 takes a free one."
    )
    SQUAD_LOG_LEVEL: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged: debug, info, warning or error."
    )
    SQUAD_MIGRATE: Literal["on", "off"] = Field(
        default="on",
        description="Whether a start brings the schema to head; off refuses an older one instead.",
    )
    SQUAD_POOL_SIZE: int = Field(default=10, ge=1, le=500, description="Connections for transactions, per process.")
    SQUAD_READ_CONNECTIONS: int = Field(
        default=6, ge=1, le=500, description="Connections for fast reads (the lane), per process."
    )

    SQUAD_RUNNER: Literal["on", "off"] = Field(default="on", description="Whether `asq serve` runs hosted members.")
    SQUAD_RUNNER_TASKS: int = Field(
        default=16, ge=1, le=1_000, description="Tasks of hosted members that a process works on at once."
    )
    SQUAD_RUNNER_PER_SQUAD: int = Field(
        default=8, ge=1, le=1_000, description="Tasks that the hosted members of a squad hold at once, in all processes."
    )

    @field_validator("SQUAD_HOME")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        try:
            return home.expanduser().absolute()
        except RuntimeError:
            raise ValueError("there is no such home folder") from None


def load() -> Settings:
    """Read the environment.

    Raises:
        StartError: a variable has an unusable value; the sentence names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise StartError(
            f"The environment variable {name} is unusable ({first['msg']}); correct or unset it."
        ) from None


default = cache(load)


def __getattr__(name: str) -> Settings:
    if name == "settings":
        return default()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
