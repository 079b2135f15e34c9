"""What models say while they say it: told to whoever follows just now, kept nowhere, lost where nobody hears it.

Each piece carries its place in the answer, so whoever gets it sees that it begins anew, or that something before it is
missing. The event of the step that has ended brings the whole answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from agentsquad.schemas.steps import StepText

EVERY: Final = 0.25  # seconds between two times that an answer is told of, at least
PIECE: Final = 1_200  # characters: each is six bytes of JSON at most, and NOTIFY carries less than 8,000 of these
KEPT: Final = 1_000  # pieces that wait for somebody; before there are more, the oldest are dropped


@dataclass(slots=True)
class Said:
    """A piece of an answer as followers get it: its JSON text, and what an interface has made of that, once for all."""

    squad_id: UUID
    task: int
    text: str
    wire: bytes | None = None

    @property
    def payload(self) -> str:
        """How it goes from process to process."""
        return f"{self.squad_id} {self.task} {self.text}"

    @classmethod
    def read(cls, payload: str) -> Self:
        """What came from a process."""
        squad_id, task, text = payload.split(" ", 2)
        return cls(UUID(squad_id), int(task), text)


class Speech:
    """One answer of a model, told in pieces as long as the block lasts.

    Args:
        say: is given each piece, and keeps nobody waiting.
        squad_id: where.
        task: at which task.
        attempt: in which attempt.
        member: whose model it is.
        step: which step of the task the answer becomes.
    """

    def __init__(
        self, say: Callable[[Said], None], squad_id: UUID, *, task: int, attempt: int, member: str, step: int
    ) -> None:
        self._say = say
        self._squad_id = squad_id
        self._of = StepText(task=task, attempt=attempt, member=member, step=step, offset=0, text="")
        self._texts: list[str] = []
        self._offset = 0
        self._free = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()  # what isn't told yet comes with the whole

    def add(self, text: str) -> None:
        """The next text that came; "" says that what came so far counts no more."""
        if not text:
            self._texts.clear()
            self._offset = 0
        self._texts.append(text)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._free, loop.time()), self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._free = asyncio.get_running_loop().time() + EVERY
        text = "".join(self._texts).encode("utf-8", "replace").decode()  # half a surrogate pair is no JSON
        self._texts.clear()
        for start in range(max(0, len(text) - KEPT * PIECE), len(text) or 1, PIECE):
            piece = {"offset": self._offset + start, "text": text[start : start + PIECE]}
            said = self._of.model_copy(update=piece).model_dump_json()
            self._say(Said(self._squad_id, self._of.task, said))
        self._offset += len(text)
