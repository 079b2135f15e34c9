"""What the log says of a squad's work, counted from its first position to its last."""

from collections import Counter
from dataclasses import dataclass

from agentsquad.client import AsyncClient
from agentsquad.schemas.events import Event


@dataclass(frozen=True)
class Counted:
    """What was counted.

    Args:
        tasks: tasks that were made.
        attempts: claims of them.
        lapsed: attempts whose lease ended in silence.
        twice: tasks that were completed more than once.
        last: the last position.
        gaps: positions that are missing.
    """

    tasks: int
    attempts: int
    lapsed: int
    twice: int
    last: int
    gaps: int


async def count(client: AsyncClient) -> Counted:
    """Read the whole log and count."""
    events: list[Event] = []
    after = 0
    while (page := await client.events(after)).items:
        events += page.items
        after = page.last
    kinds = Counter(event.kind for event in events)
    completed = Counter(event.task for event in events if event.kind == "task.completed")
    positions = {event.position for event in events}
    return Counted(
        kinds["task.created"],
        kinds["task.claimed"],
        kinds["task.lapsed"],
        sum(times > 1 for times in completed.values()),
        max(positions),
        len(set(range(1, max(positions) + 1)) - positions),
    )
