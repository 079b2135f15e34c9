"""The list of servers that run, also when readers come at the worst moment."""

import fcntl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentsquad import local

URL = "http://127.0.0.1:8000"


@pytest.fixture
def before_the_lock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something between the opening of a server's file and its lock, once."""

    def arrange(intrude: Callable[[], object]) -> None:
        lock = fcntl.flock

        def flock(handle: Any, how: int) -> None:
            if how == fcntl.LOCK_EX:
                monkeypatch.setattr(fcntl, "flock", lock)
                intrude()
            lock(handle, how)

        monkeypatch.setattr(fcntl, "flock", flock)

    return arrange


def urls(home: Path) -> list[str]:
    return [url for _, url in local.running(home)]


def test_a_server_is_listed_as_long_as_it_runs(tmp_path: Path) -> None:
    with local.announced(tmp_path, URL), local.announced(tmp_path, "http://[::1]:8000"):
        assert sorted(urls(tmp_path)) == [URL, "http://[::1]:8000"]
    assert not list((tmp_path / local.SERVERS).iterdir())


@pytest.mark.parametrize("intruder", [urls, lambda home: local._remove_unfinished(home / local.SERVERS)])
def test_who_looks_before_the_lock_does_not_take_it_for_a_dead_server(
    tmp_path: Path,
    before_the_lock: Callable[[Callable[[], object]], None],
    intruder: Callable[[Path], object],
) -> None:
    before_the_lock(lambda: intruder(tmp_path))
    with local.announced(tmp_path, URL):
        assert urls(tmp_path) == [URL]


def test_a_server_is_listed_however_often_one_looks(tmp_path: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            urls(tmp_path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(300):
            with local.announced(tmp_path, URL):
                assert urls(tmp_path) == [URL]
    finally:
        over.set()
        looking.join()


def test_what_killed_servers_left_is_removed(tmp_path: Path) -> None:
    servers = tmp_path / local.SERVERS
    servers.mkdir()
    (servers / f"dead{local.UNFINISHED}").touch()
    (servers / "dead.json").write_text('{"pid": 1, "url": "http://127.0.0.1:1"}')
    with local.announced(tmp_path, URL):
        assert urls(tmp_path) == [URL]
    assert not list(servers.iterdir())
