"""The planner's plan: the tasks of a review, ready for one batch.

Reading comes first, the analyses wait for it, the ranking waits for the analyses, and the report
for all of them.
"""

from pathlib import Path

from backend.demo import kinds


def plan(folder: Path) -> list[dict[str, object]]:
    """The tasks that review a folder; `depends_on` are indexes into the list."""
    where = str(folder.expanduser().absolute())
    tasks: list[dict[str, object]] = []

    def add(name: str, title: str, role: str, description: str, depends_on: list[int]) -> None:
        tasks.append(
            {
                "title": title,
                "description": description,
                "role": role,
                "input": {"folder": where, "analysis": name},
                "depends_on": depends_on,
            }
        )

    first, *others = kinds.KINDS
    add(first.name, first.title, first.role, first.description, [])
    for kind in others:
        add(kind.name, kind.title, kind.role, kind.description, [0])
    add(
        kinds.HOTSPOTS,
        "Say where to start",
        "architect",
        "Rank the files by how many kinds of finding point to them, then by how many findings.",
        list(range(1, len(tasks))),
    )
    add(
        kinds.REPORT,
        "Write the report",
        "writer",
        "Put all results into one Markdown report: five lines of summary, a table for each kind "
        "of finding, and who did which part in which attempt.",
        list(range(len(tasks))),
    )
    return tasks
