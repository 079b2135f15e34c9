"""Whether the server lives, and whether it can work."""

from fastapi import APIRouter
from pydantic import BaseModel

from backend.interfaces.http.dependencies import Db

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """It is."""

    status: str = "ok"


@router.get("/health")
async def health() -> Health:
    """The process is alive. Asks nothing of the database."""
    return Health()


@router.get("/ready")
async def ready(database: Db) -> Health:
    """The database is reachable and its schema current."""
    await database.ready()
    return Health()
