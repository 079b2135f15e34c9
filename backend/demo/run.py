"""`asq demo`: a server of its own with a member that it runs, six workers, all that can go wrong, and a report."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from agentsquad import local
from agentsquad.client import AsyncClient
from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import TaskNew
from backend.core.errors import StartError
from backend.demo.counting import count
from backend.demo.picture import Film
from backend.demo.processes import Processes, processes
from backend.demo.show import Show
from backend.demo.story import LEASE, MODEL, Story

PACE: Final = 1.0  # seconds that each task takes at least, so that one can watch
HEADING: Final = "# Review of "  # what each report begins with
LIMIT: Final = 90.0  # seconds until it is given up
LEAD: Final = MemberNew(name="lea", role="lead", kind="hosted", hosting=Hosting(model=MODEL))
PLANNER: Final = MemberNew(name="pia", role="planner")
WORKERS: Final = {  # who come once the lead has given its task to the roles that were there
    "rob": "reviewer",
    "rio": "reviewer",
    "tess": "reviewer",
    "ari": "architect",
    "wes": "writer",
}


async def run(folder: Path, report: Path, picture: Path | None = None) -> None:
    """Let a squad review a folder of Python source.

    Args:
        folder: an absolute path, as the other two.
        report: where the Markdown goes.
        picture: where an SVG of what was seen goes; None for none.

    Raises:
        StartError: the folder isn't there, the report can't be written, or it took too long.
        SystemExit: a signal ended it.
    """
    await asyncio.to_thread(_check, folder, report)
    film = Film() if picture else None
    async with processes() as own:
        show = Show(film)
        show.say(f"A squad reviews {folder.name}.")
        url = await own.serve()
        async with AsyncClient(url, (own.home / local.KEY).read_text().strip(), patience=LIMIT) as client:
            await client.create_squad(SquadNew(name="demo", lease_seconds=LEASE))
            show.say(f"Watch it in a browser, too: {(await client.create_link()).url}")
            for new in (LEAD, PLANNER):
                await client.add_member(new)
            await client.create_tasks(
                [TaskNew(title=f"Review {folder.name}", role="lead", input={"folder": str(folder)})]
            )

            async def start() -> None:
                for name in WORKERS:
                    await _worker(own, url, name, WORKERS[name], "backend.demo.work")

            await _worker(own, url, PLANNER.name, PLANNER.role, "backend.demo.planner")
            with show:
                story = Story(client, own, show, start)
                try:
                    async with asyncio.timeout(LIMIT):
                        done = await story.follow()
                except TimeoutError:
                    raise StartError(f"The squad wasn't ready after {LIMIT:.0f} s; try a smaller folder.") from None
            await asyncio.to_thread(report.write_text, done.result, encoding="utf-8")
            show.summary(await count(client), story.refused, report)
            await show.close(client)
    if film and picture:
        await asyncio.to_thread(film.write, picture)


async def _worker(own: Processes, url: str, name: str, role: str, module: str) -> None:
    options = ["--as", name, "--role", role, "--stdin", "none"]
    command = [sys.executable, "-m", module]
    await own.start(name, "work", *options, "--", *command, SQUAD_URL=url, DEMO_PACE=str(PACE))


def _check(folder: Path, report: Path) -> None:
    if not folder.is_dir():
        raise StartError(f"{folder} is not a folder; name one with Python source.")
    if not os.access(report if report.exists() else report.parent, os.W_OK) or report.is_dir():
        raise StartError(f"{report} can't be written; name another file with --report.")
    if report.is_file() and not _is_ours(report):
        raise StartError(f"{report} is not a report of the demo; name another file with --report.")


def _is_ours(report: Path) -> bool:
    try:
        with report.open("rb") as file:
            return file.read(len(HEADING)) == HEADING.encode()
    except OSError:
        return False
