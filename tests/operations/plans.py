"""What PostgreSQL really did for a statement, and for every statement within the functions that it called.

auto_explain tells it to the client that ran the statement: the plan, and how many rows each step of it saw.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from backend.core.database import Database

Mode = Literal["force_generic_plan", "force_custom_plan"]
_TELL: Final = (
    "LOAD 'auto_explain'",
    "SET client_min_messages = notice",
    "SET auto_explain.log_level = notice",
    "SET auto_explain.log_min_duration = 0",
    "SET auto_explain.log_nested_statements = on",
    "SET auto_explain.log_format = json",
    "SET auto_explain.log_analyze = on",
    "SET auto_explain.log_timing = off",
)
_ASYNCPGS: Final = "typeinfo_tree"  # how asyncpg learns of a type
_KEPT: Final = ("Limit", "LockRows", "Sort", "Incremental Sort")  # what a shape tells of, besides the scans


@dataclass(frozen=True)
class Plan:
    """One statement's plan."""

    query: str
    root: dict[str, Any]

    def steps(self) -> Iterator[dict[str, Any]]:
        """Every step that was taken at least once."""
        pending = [self.root]
        while pending:
            step = pending.pop()
            pending += step.get("Plans", [])
            if step["Actual Loops"]:
                yield step

    def indexes(self) -> set[str]:
        """The indexes by which it found its rows, whether or not there were any."""
        return set(re.findall(r'"Index Name": "(\w+)"', json.dumps(self.root)))

    def shape(self) -> str:
        """The chain from the top to the first scan, as in `Limit > LockRows > Index Scan ix_tasks_lease`."""
        step, chain = self.root, []
        while "Plans" in step and "Scan" not in step["Node Type"]:
            chain += [step["Node Type"]] if step["Node Type"] in _KEPT else []
            step = step["Plans"][0]
        chain.append(f"{step['Node Type']} {step.get('Index Name', step.get('Relation Name', ''))}")
        return " > ".join(chain)

    def examined(self) -> int:
        """How many rows of tables were looked at."""
        return sum(
            round(
                step["Actual Loops"]
                * (
                    step["Actual Rows"]
                    + step.get("Rows Removed by Filter", 0)
                    + step.get("Rows Removed by Index Recheck", 0)
                )
            )
            for step in self.steps()
            if "Relation Name" in step and "Scan" in step["Node Type"]
        )

    def wrong(self, most: int) -> list[str]:
        """What a plan for a large board must not have: a table read whole, or more rows than are needed."""
        scanned = re.findall(r'"Node Type": "Seq Scan",.*?"Relation Name": "(\w+)"', json.dumps(self.root))
        wrong = [f"{table} is read whole" for table in scanned if table != "marks"]  # a squad has but a few
        for step in self.steps():
            within = step["Plans"][0]["Actual Rows"] if "Sort" in step["Node Type"] else 0
            if within > most:
                wrong.append(f"{round(within)} rows are sorted")
        if self.examined() > most:
            wrong.append(f"{self.examined()} rows are looked at")
        return [f"{sentence}: {' '.join(self.query.split())[:120]}" for sentence in wrong]


@dataclass
class Watched:
    """A connection that tells what its statements do. Nothing of it is kept."""

    connection: AsyncConnection
    driver: Any
    db: AsyncSession
    _told: list[str] = field(default_factory=list)

    def hear(self, _connection: object, message: Any) -> None:
        """Keep what PostgreSQL says."""
        self._told.append(message.message)

    async def told(self) -> list[Plan]:
        """The plans since it was last asked, in the order in which the statements ended."""
        # PostgreSQL ends a statement of a transaction, and tells of it, when the next one comes.
        await self.driver.execute("SHOW transaction_isolation")
        await asyncio.sleep(0)  # notices come in callbacks of the loop
        told, self._told = self._told, []
        plans = [json.loads(message.partition("plan:\n")[2]) for message in told if "plan:\n" in message]
        return [Plan(plan["Query Text"], plan["Plan"]) for plan in plans if _ASYNCPGS not in plan["Query Text"]]


@asynccontextmanager
async def watched(database: Database, mode: Mode) -> AsyncIterator[Watched]:
    """A connection on which every plan is a generic one, or a custom one; what it writes is rolled back."""
    async with database.async_engine.connect() as connection:
        await connection.begin()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        for setting in (*_TELL, f"SET plan_cache_mode = {mode}"):
            await connection.execute(text(setting))
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as db:
            watch = Watched(connection, driver, db)
            driver.add_log_listener(watch.hear)
            yield watch
            driver.remove_log_listener(watch.hear)
        await connection.rollback()
        await connection.invalidate()
