"""Whether the server lives, and whether it can work."""

from fastapi import APIRouter
from pydantic import BaseModel

from agentsquad.schemas.errors import Error
from backend.interfaces.http.dependencies import Db
from backend.interfaces.http.errors import MEANINGS

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """It is."""

    status: str = "ok"


@router.get("/health")
async def health() -> Health:
    """The process is alive. Asks nothing of the database."""
    return Health()


@router.get("/ready", responses={503: {"model": Error, "description": MEANINGS[503]}})
async def ready(database: Db) -> Health:
    """The database is reachable and its schema current."""
    await database.ready()
    return Health()
