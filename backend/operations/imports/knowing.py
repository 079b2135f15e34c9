"""What the lines of a file refer to: members by name, tasks by number, messages by position; each of them is there."""

from array import array
from bisect import bisect_left
from typing import Any, Final

from agentsquad.schemas import limits
from agentsquad.schemas.events import Event
from agentsquad.schemas.exports import (
    AttemptRow,
    BudgetRow,
    DependencyRow,
    Header,
    MemberRow,
    MessageRow,
    RecipientRow,
    StepRow,
    TaskRow,
)
from backend.operations.access import ME
from backend.operations.imports.graph import Graph
from backend.operations.imports.telling import Telling, short

Row = MemberRow | TaskRow | DependencyRow | AttemptRow | StepRow | BudgetRow | MessageRow | RecipientRow
DEEP: Final = 1_000_000  # tasks above those with a step under way, each counted for each: all have a budget to settle


class Knowing:
    """All that was there so far, in bounded memory. What raises `ValueError` here is a line that can't follow."""

    def __init__(self) -> None:
        self.members: dict[str, MemberRow] = {}  # of what is long only the digest
        self.owner = ""
        self.telling = Telling()
        self._messages: array[int] = array("q")
        self._graph = Graph()
        self._above = 0  # tasks above those with a step under way
        self._last: tuple[Any, ...] = ()  # key of the line before, of the same kind

    def begin(self) -> None:
        """The lines of another kind begin."""
        self._last = ()

    def row(self, row: Row) -> None:
        """The next row of a noun."""
        match row:
            case MemberRow():
                self._in_order(row.name)
                self._member(row)
            case TaskRow():
                self._follows(row.number)
                self._named(row.assignee, row.worker, row.holder, row.creator)
                self._graph.add(row)
            case DependencyRow():
                self._in_order(row.task, row.depends_on)
                self._graph.connect(row.task, row.depends_on)
            case AttemptRow():
                self._in_order(row.task, row.attempt)
                self._task(row.task)
                self._named(row.member)
            case StepRow():
                self._in_order(row.task, row.number)
                self._task(row.task)
                self._named(row.member)
                self._under_way(row)
            case BudgetRow():
                self._in_order(row.task or 0)
                self._task(row.task)
            case MessageRow():
                self._in_order(row.position)
                self._task(row.task)
                self._named(row.sender, row.to)
                self._messages.append(row.position)
            case RecipientRow():
                self._in_order(row.position, row.member)
                self._named(row.member)
                at = bisect_left(self._messages, row.position)
                if self._messages[at : at + 1] != array("q", [row.position]):
                    raise ValueError(f"there is no message {row.position}")

    def event(self, event: Event) -> None:
        """The next event."""
        self._follows(event.position)
        self._task(event.task or (0 if event.kind.startswith(("task.", "step.")) else None))
        self.telling.tell(event)

    def circular(self) -> int | None:
        """A task that waits for itself, over others; None if there is none."""
        return self._graph.circular()

    def differences(self, header: Header) -> list[str]:
        """Of what the log tells otherwise: the squad, or a member."""
        return list(self.telling.differences(header, self.members))

    def _in_order(self, *key: Any) -> None:
        if self._last >= key:
            raise ValueError("it is there already, or out of order")
        self._last = key

    def _follows(self, number: int) -> None:
        expected = (self._last[0] if self._last else 0) + 1
        if number != expected:
            raise ValueError(f"number {expected} should be here, and not {number}")
        self._last = (number,)

    def _member(self, row: MemberRow) -> None:
        if len(self.members) >= limits.MEMBERS:
            raise ValueError(f"at most {limits.MEMBERS} members")
        if row.name == ME:
            raise ValueError("the name me stands for whoever asks")
        if (row.kind == "person") != (row.email is not None):
            raise ValueError("a person has an address, and nobody else")
        if row.owner:
            if self.owner or row.kind != "person" or row.retired_at is not None:
                raise ValueError("there is one owner, a person who is not retired")
            self.owner = row.name
        digests = {"instructions": short(row.instructions), "hosting": short(row.hosting)}
        self.members[row.name] = row.model_copy(update=digests)

    def _under_way(self, row: StepRow) -> None:
        if row.state == "started":
            self._above += self._graph.depth(row.task)
            if self._above > DEEP:
                raise ValueError("steps are under way too far below other tasks")

    def _named(self, *names: str | None) -> None:
        for name in names:
            if name is not None and name not in self.members:
                raise ValueError(f"there is no member {name}")

    def _task(self, number: int | None) -> None:
        if number is not None and not self._graph.has(number):
            raise ValueError(f"there is no task #{number}")
