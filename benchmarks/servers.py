"""The HTTP servers: uvicorn with uvloop and httptools, one process each, started the same way for every side."""

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.processes import ROOT, environment

START_SECONDS = 60


class Server:
    """One application, served by one process.

    Args:
        app: as uvicorn takes it, `module:name`; with `factory`, a function that makes it.
        extra: variables for its environment.
        factory: whether the name is a function's.
        path: where it serves accounts.
    """

    def __init__(self, app: str, extra: Mapping[str, str], *, factory: bool = False, path: str = "/users/") -> None:
        self.path = path
        self._app = app
        self._extra = dict(extra)
        self._factory = factory
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self.port = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Launch it; `ready` waits for it."""
        self.port, self._ready = free_port(), False
        command = [sys.executable, "-m", "uvicorn", self._app, "--port", str(self.port)]
        command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "critical"]
        command += ["--factory"] if self._factory else []
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment(self._extra), stdin=subprocess.DEVNULL)

    def ready(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it has ended, or doesn't answer in time.
        """
        ends = time.monotonic() + START_SECONDS
        while not self._ready:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{self._app} doesn't start.")
            try:
                self.get("/", "")
                self._ready = True
            except OSError:
                time.sleep(0.02)

    def get(self, path: str, key: str) -> tuple[int, bytes]:
        """One request: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def restart(self) -> None:
        """Kill it and launch it again, since what it has still to do would disturb the others."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
