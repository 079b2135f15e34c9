"""Processes of the benchmark's own: one asks, the other does, in lines of JSON over a pair of pipes."""

import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
OURS = ("SQUAD_", "PG", "BENCH_")


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is measured: no setting of the caller's, but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS) and name != "DATABASE_URL"}
    return kept | dict(extra)


class Child:
    """Another process that runs a module of this package, and does what it is asked.

    Args:
        module: its name within the package.
        arguments: for its command line.
        extra: variables for its environment.
    """

    def __init__(self, module: str, *arguments: str, extra: Mapping[str, str]) -> None:
        self._name = " ".join((module, *arguments[:1]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", *arguments],
            cwd=ROOT,
            env=environment(extra),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, **command: Any) -> Any:
        """Send a command and wait for its answer.

        Raises:
            RuntimeError: it failed, or is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"{self._name} is gone.") from None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} is gone.")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self._name}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End it; a process whose input ends leaves by itself, one that is stuck is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def serve(handle: Callable[..., Any]) -> None:
    """In the other process: answer commands until there are no more."""
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(reply(handle, line)).encode() + b"\n")
        sys.stdout.buffer.flush()


def reply(handle: Callable[..., Any], line: bytes) -> dict[str, Any]:
    """What one command gives: a value, or an error as text."""
    try:
        return {"value": handle(**json.loads(line))}
    except Exception as error:  # noqa: BLE001  (whatever it is, the one who asked must hear of it)
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
