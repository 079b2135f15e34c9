"""`asq stop`: the end of whatever runs in this home folder."""

import typer

from agentsquad import local
from backend.cli.sentences import out, sentences
from backend.core import embedded
from backend.core.errors import StartError
from backend.core.settings import Settings, load

app = typer.Typer()


@app.command()
def stop() -> None:
    """Stop the servers of this home folder and its bundled PostgreSQL."""
    with sentences():
        settings = load()
        stopped = stop_all(settings)
        out.print("Stopped." if stopped else "Nothing was running.")


def stop_all(settings: Settings) -> bool:
    """End every server of the home folder, then the bundled PostgreSQL. Answers whether there was one."""
    try:
        servers = local.stop(settings.SQUAD_HOME)
    except TimeoutError as error:
        raise StartError(str(error)) from None
    cluster = embedded.cluster_of(settings)
    return bool(cluster and cluster.stop()) or servers
