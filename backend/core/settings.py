"""The environment, read once into one frozen object; an attribute is named as its variable.

`settings` is the process's default instance, made on first access: importing reads nothing.
"""

import re
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.core.errors import StartError

MODEL: Final = r"([\w./-]+:\S+)?"
KEY: Final = r"(\[[0-9a-f:.]+\]|[^\s:\[\]/@]+)(:[0-9]{1,5})?=[!-~]+"  # the first = ends the host


def _networks(value: Any) -> Any:
    try:
        return tuple(ip_network(word) for word in value.split()) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("give addresses and networks such as 127.0.0.1 10.0.0.0/8") from None


def _keys(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = {}
    for place, word in enumerate(value.split(), 1):
        host, _, key = word.partition("=")
        if not re.fullmatch(KEY, f"{host.lower()}={key}"):  # what it says is a secret, so its place is told
            raise ValueError(f"entry {place} is no host=key or host:port=key")
        found[host.lower()] = key
    return found


class Settings(BaseSettings):
    """What the environment says. Every field may also be given by keyword, as tests do."""

    model_config = SettingsConfigDict(
        frozen=True, case_sensitive=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

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
    SQUAD_MODEL: str = Field(
        default="",
        pattern=f"^{MODEL}$",
        description="Model of hosted members that name none, as provider:model; "
        "empty means one of the first provider whose own key is set, else offline:rehearsal.",
    )
    SQUAD_PRIVATE_NETWORKS: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)] = (
        Field(
            default=(),
            description="Private addresses that members may name as models and tools, "
            "such as 127.0.0.1 10.0.0.0/8; empty means none.",
        )
    )
    SQUAD_KEYS: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_keys)] = Field(
        default={},
        description="Keys for the addresses that members name, as host=key or host:port=key with spaces between; "
        "without a port, that of https or http.",
    )

    SQUAD_RUNNER: Literal["on", "off"] = Field(default="on", description="Whether `asq serve` runs hosted members.")
    SQUAD_RUNNER_TASKS: int = Field(
        default=16, ge=1, le=1_000, description="Tasks of hosted members that a process works on at once."
    )
    SQUAD_RUNNER_PER_SQUAD: int = Field(
        default=8,
        ge=1,
        le=1_000,
        description="Tasks that the hosted members of a squad hold at once, in all processes.",
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
