"""What the demo starts: a server in a home folder of its own, and workers. All of it is gone at the end."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from agentsquad import local
from agentsquad.client import AsyncClient
from backend.core.embedded import Cluster
from backend.core.errors import StartError

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last one when the terminal is closed
SERVER: Final = "server"


class Processes:
    """What was started, each by its name.

    Args:
        home: the folder in which everything lies.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, *arguments: str, **environment: str) -> None:
        """Start a command of ours."""
        with self.log(name).open("ab") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "agentsquad",
                *arguments,
                env=self.environment() | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def serve(self, port: int = 0) -> str:
        """Start the server. Answers its address as soon as it answers there.

        Raises:
            StartError: it doesn't.
        """
        await self.start(SERVER, "serve", "--port", str(port))
        while self.running[SERVER].returncode is None:
            for pid, url in local.running(self.home):
                if pid == self.running[SERVER].pid:
                    async with AsyncClient(url, timeout=2) as client:
                        if await client.alive() and (self.home / local.KEY).exists():
                            return url
            await asyncio.sleep(0.02)
        raise StartError(f"The demo's server didn't start: {self.said(SERVER)[-1]}")

    async def ask(self, *arguments: str) -> str:
        """What a command of ours says."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentsquad", *arguments,
            env=self.environment(), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return (await process.communicate())[0].decode().strip()

    def send(self, name: str, number: signal.Signals) -> None:
        """Signal a process; one that has ended doesn't mind."""
        with contextlib.suppress(ProcessLookupError):
            self.running[name].send_signal(number)

    def log(self, name: str) -> Path:
        """Where a process says what it does."""
        return self.home / f"{name}.log"

    def said(self, name: str) -> list[str]:
        """The lines that a process has said."""
        return self.log(name).read_text(errors="replace").strip().splitlines() or ["it says nothing"]

    def environment(self) -> dict[str, Any]:
        """Ours without what would lead to another server."""
        foreign = ("SQUAD_", "DATABASE_URL")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return kept | {"SQUAD_HOME": str(self.home), "TMPDIR": str(self.home)}

    async def stop(self) -> None:
        """Workers first, the server last; who was stopped is woken for it."""
        for name, process in sorted(self.running.items(), key=lambda each: each[0] == SERVER):
            if process.returncode is None:
                self.send(name, signal.SIGCONT)
                self.send(name, signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    process.kill()
                    await process.wait()


@contextlib.asynccontextmanager
async def processes() -> AsyncIterator[Processes]:
    """Processes in a home folder of their own, which goes with everything in it; also when a signal ends this."""
    with _signals(), _home() as home:
        own = Processes(home)
        try:
            yield own
        finally:
            await asyncio.shield(own.stop())


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """A signal cancels this task, so that all is cleaned up; further ones don't disturb that."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    caught: list[int] = []

    def end(number: int) -> None:
        if not caught:
            task.cancel()
        caught.append(number)

    heeded = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup asks
    for number in heeded:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not caught:
            raise
        raise SystemExit(128 + caught[0]) from None  # as a shell says it
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    # Without links, as the server names it: by this name the bundled PostgreSQL is found.
    home = Path(os.path.realpath(tempfile.mkdtemp(prefix="agentsquad-demo-")))
    try:
        yield home
    finally:
        Cluster(home).destroy()
        shutil.rmtree(home, ignore_errors=True)
