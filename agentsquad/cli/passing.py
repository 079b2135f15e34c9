"""A line of this moment on a terminal: each takes the place of the one before, and leaves nothing behind."""

import math
from types import TracebackType
from typing import Final, Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from agentsquad.cli import words
from agentsquad.schemas.events import Event
from agentsquad.schemas.steps import StepText

KEPT: Final = 1_000  # characters of an answer that are kept; more than any line has


class Passing:
    """The last line of a terminal; where nobody reads along there is none."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._can = screen.is_terminal and not screen.is_dumb_terminal
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not BrokenPipeError:
            self.show(None)

    def show(self, line: RenderableType | None) -> None:
        """Show this line instead; None: none."""
        if not self._can or (line is None and not self._shown):
            return
        with self._screen:  # in one go, so that nothing flickers
            self._screen.control(Control((ControlType.ERASE_IN_LINE, 2)))
            if line is not None:
                self._screen.print(line, end="")
                self._screen.control(Control(ControlType.CARRIAGE_RETURN))
        self._shown = line is not None


class Speaking:
    """What hosted members say just now, task by task."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[int, int, str]] = {}  # of each task: the step, how far it is, the last of it
        self._ended: dict[int, int] = {}

    def hear(self, piece: StepText) -> RenderableType | None:
        """The line that shows it; None for what comes too late."""
        if piece.step <= self._ended.get(piece.task, 0):
            return None
        step, heard, said = self._said.get(piece.task, (0, 0, ""))
        if piece.offset == 0 or piece.step != step:
            heard, said = 0, ""
        if piece.offset != heard:
            said += " … "
        said = (said + piece.text)[-KEPT:]
        self._said[piece.task] = piece.step, piece.offset + len(piece.text), said
        return _Line(f"{words.line(piece.member)}, #{piece.task}: ", words.line(said))

    def end(self, event: Event) -> bool:
        """Whether an event ends what was being said."""
        if event.kind != "step.ended" or event.task is None:
            return False
        self._ended[event.task] = event.data.step
        if self._said.get(event.task, (math.inf,))[0] > event.data.step:
            return False
        del self._said[event.task]
        return True


class _Line:
    """Who speaks, and as much of the last words as there is room for."""

    def __init__(self, head: str, said: str) -> None:
        self.head = head
        self.said = said

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width - 1  # in the last column some terminals begin a new line
        line = Text(self.head + _end(self.said, width - cell_len(self.head)), "dim", end="")
        line.truncate(width)
        yield line


def _end(text: str, room: int) -> str:
    """The end of a text that fits."""
    if cell_len(text) <= room:
        return text
    kept = text[-max(room, 1) :]
    while kept and cell_len(kept) >= room:  # one cell is for the dots
        kept = kept[1:]
    return f"…{kept}" if room > 0 else ""
