"""A terminal at which a command runs."""

import contextlib
import os
import pty
import select
import signal
import sys
import termios

from tests.cli.conftest import ASQ


class Terminal:
    """A pseudo-terminal of 20 lines at which a command runs."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [*ASQ, *arguments], {**os.environ, "TERM": "xterm", "COLUMNS": "120"})
        termios.tcsetwinsize(self._end, (20, 120))
        self.said = b""

    def until(self, text: str) -> None:
        """Read until it is on the screen; pytest's own limit ends a test that waits for ever."""
        while text.encode() not in self.said:
            self.said += os.read(self._end, 65536)

    def read(self, seconds: float) -> None:
        """Read what comes until then, if anything does."""
        if select.select([self._end], [], [], seconds)[0]:
            self.said += os.read(self._end, 65536)

    def close(self) -> int:
        """Ctrl-C; the exit code."""
        os.kill(self.pid, signal.SIGINT)
        with contextlib.suppress(OSError):
            while part := os.read(self._end, 65536):
                self.said += part
        os.close(self._end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
