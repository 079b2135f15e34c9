"""`asq runner`: hosted members at work without the rest of a server, on as many hosts as wanted."""

import asyncio
import signal

import typer

from backend import sweeper
from backend.cli.sentences import out, sentences
from backend.cli.serve import log_from, make_home
from backend.core.database import Database, close_db, init_db
from backend.core.settings import load
from backend.live.feed import Feed
from backend.runner import runners

app = typer.Typer()


@app.command()
def runner() -> None:
    """Run hosted members, beside any number of servers and runners; a signal lets it end."""
    with sentences():
        settings = load()
        log_from(settings.SQUAD_LOG_LEVEL)
        make_home(settings.SQUAD_HOME)
        asyncio.run(_run(Database(settings)))


async def _run(database: Database) -> None:
    try:
        await init_db(database)
        feed = Feed(database)
        # What another runner held when it died is taken back also while no server runs.
        beside = [asyncio.create_task(feed.run()), asyncio.create_task(sweeper.run(database))]
        working = asyncio.create_task(runners.run(database, feed))
        told = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        most = database.settings.SQUAD_RUNNER_TASKS
        out.print(f"Running hosted members, at most {most} tasks at once   Ctrl-C ends the runner", markup=False)
        ending = asyncio.create_task(told.wait())
        await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()  # once: another signal tears nothing that is being given back
        await asyncio.wait([working])
        for task in (ending, *beside):
            task.cancel()
        await asyncio.wait([ending, *beside])
        if not working.cancelled():
            working.result()  # it ended by itself, which is a defect
    finally:
        await close_db(database)
