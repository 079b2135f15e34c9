"""Who waits for whom in a file: a graph of a few bytes per task and edge."""

from array import array

from agentsquad.schemas import limits
from agentsquad.schemas.exports import TaskRow
from agentsquad.schemas.tasks import Status

ENDED: tuple[Status, ...] = ("done", "failed", "cancelled")


class Graph:
    """Tasks by number; edges are dependencies, and from a parent that waits to its unfinished children."""

    def __init__(self) -> None:
        self._waiting = bytearray(1)  # whether a task waits for its children, by number
        self._depth: array[int] = array("i", [0])  # how many tasks are above one, by number
        self._from: array[int] = array("i")
        self._to: array[int] = array("i")
        self._given = (0, 0)  # a task, and how many dependencies it has so far

    def add(self, task: TaskRow) -> None:
        """The next task.

        Raises:
            ValueError: its parent is not before it.
        """
        self._waiting.append(task.blocked_on == "children")
        if task.parent is None:
            self._depth.append(0)
            return
        if task.parent >= task.number:
            raise ValueError(f"there is no parent #{task.parent} before it")
        self._depth.append(self._depth[task.parent] + 1)
        if self._waiting[task.parent] and task.status not in ENDED:
            self._connect(task.parent, task.number)

    def has(self, number: int) -> bool:
        """Whether there is such a task."""
        return 1 <= number < len(self._waiting)

    def depth(self, number: int) -> int:
        """How many tasks a task is a part of."""
        return self._depth[number]

    def connect(self, number: int, other: int) -> None:
        """A task depends on another one.

        Raises:
            ValueError: one of them is not there, or the task has too many.
        """
        for task in (number, other):
            if not self.has(task):
                raise ValueError(f"there is no task #{task}")
        task, times = self._given
        self._given = (number, times + 1 if task == number else 1)
        if number == other:
            raise ValueError(f"#{number} depends on itself")
        if self._given[1] > limits.DEPENDENCIES:
            raise ValueError(f"at most {limits.DEPENDENCIES} dependencies")
        self._connect(number, other)

    def _connect(self, number: int, other: int) -> None:
        self._from.append(number)
        self._to.append(other)

    def circular(self) -> int | None:
        """A task that waits for itself, over others; None if there is none."""
        size = len(self._waiting)
        starts = array("i", bytes(4 * (size + 1)))  # where the edges to a task begin, sorted by it
        for other in self._to:
            starts[other + 1] += 1
        for at in range(size):
            starts[at + 1] += starts[at]
        fill, waiters = array("i", starts), array("i", bytes(4 * len(self._to)))
        open_edges = array("i", bytes(4 * size))
        for number, other in zip(self._from, self._to, strict=True):
            waiters[fill[other]] = number
            fill[other] += 1
            open_edges[number] += 1
        free = array("i", (number for number in range(size) if not open_edges[number]))
        for number in free:  # it grows
            for at in range(starts[number], starts[number + 1]):
                open_edges[waiters[at]] -= 1
                if not open_edges[waiters[at]]:
                    free.append(waiters[at])
        return next((number for number in range(size) if open_edges[number]), None)
