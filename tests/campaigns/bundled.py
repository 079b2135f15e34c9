"""A bundled PostgreSQL of a campaign's own, to be killed."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from backend.core.embedded import Cluster, accounts
from backend.core.embedded.server import Server


@contextmanager
def cluster_in(home: Path) -> Iterator[Cluster]:
    """A running cluster, which is gone after the block."""
    cluster = Cluster(home)
    cluster.ensure()
    try:
        yield cluster
    finally:
        cluster.destroy()


def end_postmaster(cluster: Cluster, number: int = signal.SIGKILL) -> None:
    """Send the postmaster a signal that it doesn't survive: SIGKILL, or SIGQUIT for `immediate`."""
    pid = Server(cluster._store, cluster.socket_dir, accounts.make()).find()
    assert pid is not None
    os.kill(pid, number)


def end_backend(cluster: Cluster, chance: random.Random) -> None:
    """Kill the process behind one connection; PostgreSQL then starts anew by itself."""
    with closing(psycopg2.connect(cluster.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        os.kill(chance.choice(cursor.fetchall())[0], signal.SIGKILL)
