"""What a driver's error means for the one who asked: lost connection, stale plan, overload, or an error of ours."""

import json

import asyncpg
import psycopg2
from sqlalchemy import exc

from backend.core import errors

# Raised by our SQL functions; the message is the sentence, the detail holds the code and the fields as JSON.
RAISED_BY_US = "SQUAD"
REPEATABLE = frozenset({"40P01", "40001", "0A000"})  # deadlock, serialization failure, stale plan
_BUSY = {
    "25P03": "The transaction stood still for too long and was ended; try again.",
    "25P04": "The transaction took too long and was ended; try again.",
    "40001": "Too many wrote the same at once; try again.",
    "40P01": "Too many wrote the same at once; try again.",
    "53300": "The database has no connection left; try again in a second.",
    "55P03": "Somebody else is writing to this squad; try again in a second.",
    "57014": "The database took too long to answer; try again.",
}
_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05"})  # by an administrator, a crash, a start, idleness
_UNREACHABLE = "The database can't be reached right now; try again in a few seconds."


def driver_error(error: BaseException) -> BaseException:
    """What asyncpg or psycopg2 raised, under whatever SQLAlchemy wrapped around it."""
    origin = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
    if isinstance(origin, exc.EmulatedDBAPIException):
        return origin.orig or origin.__cause__ or origin
    return origin


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-letter code, whichever layer wrapped the error."""
    origin = driver_error(error)
    return getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)


def connection_lost(error: BaseException) -> bool:
    """Whether the connection was cut or could not be made, whoever did it."""
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    origin = driver_error(error)
    state = sqlstate(origin)
    if state is not None:
        return state.startswith("08") or state in _ENDED
    if isinstance(origin, asyncpg.InterfaceError):  # its others are mistakes of the caller
        return "connection is closed" in str(origin)
    if isinstance(origin, OSError):  # a bare one is the operation's own, of a file for example
        return origin is not error
    return isinstance(origin, (asyncpg.InternalClientError, psycopg2.OperationalError))


def stale_plan(error: BaseException) -> bool:
    """Whether a migration changed a table under a prepared statement."""
    return sqlstate(error) == "0A000"


def translated(error: Exception) -> Exception:
    """The error of `core.errors` that it stands for, or itself if it stands for none."""
    if isinstance(error, exc.TimeoutError):
        return errors.Overloaded("The database is busy; try again in a second.")
    state = sqlstate(error)
    if state == RAISED_BY_US:
        return _ours(driver_error(error))
    if state in _BUSY:
        return errors.Overloaded(_BUSY[state])
    if connection_lost(error):
        return errors.Overloaded(_UNREACHABLE)
    return error


class _Translating:
    """A block whose errors leave it as what they stand for; cheaper than a generator, for every read passes it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            meaning = translated(error)
            if meaning is not error:
                raise meaning from error


translating = _Translating()


def _ours(error: BaseException) -> errors.SquadError:
    if isinstance(error, psycopg2.Error):
        sentence, detail = error.diag.message_primary, error.diag.message_detail
    else:
        sentence, detail = str(getattr(error, "message", "")), getattr(error, "detail", None)
    fields = json.loads(detail or "{}")
    return errors.of_code(fields.pop("code"), sentence or "", **fields)
