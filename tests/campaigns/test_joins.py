"""Two completions that race for one dependent: whoever comes last frees it."""

import asyncio
from multiprocessing.synchronize import Barrier
from pathlib import Path

import orjson

from agentsquad.schemas.tasks import CompleteNew, TaskNew
from backend.core.database import Database
from backend.operations import tasks
from tests.campaigns import checkers
from tests.campaigns.crew import CONTEXT, Crew, Journal, Team, found, patiently, say
from tests.conftest import SCALE
from tests.defects import changed, install

COUPLES = 2  # of processes, each completing one half of a pair
PAIRS = 100 * SCALE  # of each couple
TAKEN_FIRST = "enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name)"
TAKEN_NEVER = "enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name, false)"
APPEND = "PERFORM append_events("
TAKE = "PERFORM FROM squads WHERE id = p_squad FOR NO KEY UPDATE;\n    "


def lock_last() -> list[str]:
    """`complete_task`, with the squad's lock taken only when all has been decided."""
    return changed("complete_task", (TAKEN_FIRST, TAKEN_NEVER)) + changed("settle_tasks", (APPEND, TAKE + APPEND))


async def work(_journal: Journal, team: Team, index: int, numbers: list[int], together: Barrier) -> None:
    """Complete one half of each pair in the same moment as the other process does the other."""
    actor = team.members[index]
    async with team.database() as database:
        for number in numbers:
            claimed = await patiently(lambda n=number: database.transact(tasks.claim, actor, team.squad, n))  # type: ignore[misc]
            given = CompleteNew(claim=orjson.loads(claimed)["items"][0]["claim"])
            await asyncio.to_thread(together.wait, 30)
            await patiently(lambda n=number, g=given: database.transact(tasks.complete, actor, team.squad, n, g))  # type: ignore[misc]


async def campaign(database: Database, folder: Path, pairs: int) -> checkers.State:
    """Complete all pairs; a third task waits for each."""
    team = await found(database, 2 * COUPLES)
    for first in range(0, COUPLES * pairs, 300):
        batch = []
        for pair in range(first, min(first + 300, COUPLES * pairs)):
            batch += [
                TaskNew(title="left", key=f"a{pair}"),
                TaskNew(title="right", key=f"b{pair}"),
                TaskNew(title="joined", depends_on=[f"a{pair}", f"b{pair}"]),
            ]
        await database.transact(tasks.create, team.owner, team.squad, batch)
    with Crew(folder) as crew:
        barriers = [CONTEXT.Barrier(2) for _ in range(COUPLES)]  # one that is forgotten here is gone there
        for couple, together in enumerate(barriers):
            for half in (1, 2):
                numbers = [3 * pair + half for pair in range(couple, COUPLES * pairs, COUPLES)]
                crew.start(work, team, 2 * couple + half - 1, numbers, together)
        await crew.finish(60 * SCALE)
    return checkers.state(team.url, team.squad.id)


async def test_none_is_left_behind(database: Database, tmp_path: Path) -> None:
    after = await campaign(database, tmp_path / "crew", PAIRS)
    assert checkers.stuck(after) == []
    assert len(after.with_status("todo")) == COUPLES * PAIRS
    assert checkers.torn(after) == []
    say(f"joins: {2 * COUPLES} processes, {COUPLES * PAIRS} pairs completed at once, 0 dependents stuck")


async def test_control_with_the_lock_taken_last_some_are(database: Database, tmp_path: Path) -> None:
    await database.transact(install, lock_last())
    after = await campaign(database, tmp_path / "crew", 50)
    wrong = checkers.stuck(after)
    assert wrong != []
    say(f"joins, control: with the lock taken last {len(wrong)} of {COUPLES * 50} dependents stuck")
