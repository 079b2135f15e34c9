"""`asq serve`: the whole server, until a signal ends it."""

import logging
import socket
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from agentsquad import local
from backend import doctor
from backend.app import create_app
from backend.cli.sentences import out, sentences
from backend.core.database import Database
from backend.core.errors import StartError
from backend.core.settings import load

GRACE = 5  # seconds that requests may take to end when the server stops
BACKLOG = 2048  # connections that wait while the server starts
# Libraries that log requests and answers. What a server of tools sends is in the errors of those in the second row, too
# (mcp's client calls itself just so); whoever asked it is told.
OUTSIDE = {
    **dict.fromkeys(("anthropic", "genai-prices", "httpcore2", "httpx2", "openai"), "WARNING"),
    **dict.fromkeys(("client", "fastmcp", "mcp.client"), "CRITICAL"),
}
app = typer.Typer()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind to instead of SQUAD_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port instead of SQUAD_PORT; 0: any.")] = None,
    *,
    runner: Annotated[bool, typer.Option("--runner/--no-runner", help="Whether it runs hosted members.")] = True,
) -> None:
    """Start the server: HTTP, log, sweeper and runner, with the bundled PostgreSQL unless DATABASE_URL is set."""
    with sentences():
        settings = load()
        if not runner:
            settings = settings.model_copy(update={"SQUAD_RUNNER": "off"})
        level = log_from(settings.SQUAD_LOG_LEVEL)
        make_home(settings.SQUAD_HOME)
        listening = listen(host or settings.SQUAD_HOST, settings.SQUAD_PORT if port is None else port)
        own = Database(settings)
        if own.cluster:
            own.cluster.ensure(lambda line: out.print(line, style="dim"))
        own.open_sync()
        own.sync_engine.dispose()
        address = f"http://{_named(listening)}"
        application = create_app(settings)
        config = uvicorn.Config(
            application,
            loop="uvloop",
            http="httptools",
            log_config=None,
            log_level=level,
            access_log=level == "debug",
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE,
        )
        with local.announced(settings.SQUAD_HOME, address):
            where = settings.SQUAD_HOME if own.cluster else doctor.place(own.address)
            out.print(f"Agent Squad on {address}   data in {where}   Ctrl-C stops the server", markup=False)
            _run(application, uvicorn.Server(config), listening)


def _run(application: FastAPI, server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until a signal ends it.

    Raises:
        StartError: the application refused to start.
    """
    # What it refused is said in one sentence, so the traceback that uvicorn logs isn't.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not hasattr(application.state, "refused"))
    try:
        server.run(sockets=[listening])
    except SystemExit:
        if hasattr(application.state, "refused"):
            raise StartError(application.state.refused.detail) from None
        raise


def log_from(level: str) -> str:
    """Log to stderr what is at least that severe; answers the level of other people's loggers.

    Their news of what goes well are shown only to who debugs; what goes to models and tools, and with which key, to
    nobody.
    """
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    others = "warning" if level == "info" else level
    for name in ("alembic", "mcp", "backend.core.pool"):  # SQLAlchemy names a pool's logger after our class
        logging.getLogger(name).setLevel(others.upper())
    for name, least in OUTSIDE.items():
        logging.getLogger(name).setLevel(least)
    return others


def make_home(home: Path) -> None:
    """Make the folder of keys and data, for nobody else.

    Raises:
        StartError: it can't be made or written to.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise StartError(f"{home} can't be used ({error.strerror}); give another folder in SQUAD_HOME.") from None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens before anything else is started: two that are only bound may share a port.

    Raises:
        StartError: the port is taken, or the address isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise StartError(
            f"{host}:{port} can't be used ({error.strerror}); "
            "give another port with --port or SQUAD_PORT, or stop what holds it."
        ) from None
    return listening


def _named(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
