"""The planner's command: `python -m backend.demo.planner` plans a review, asks how much is wanted, and hands it in.

It is run three times at one task: when that is new, when its parts have ended, and when its question was answered.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from agentsquad.client import AsyncClient
from agentsquad.schemas.tasks import TaskNew
from backend.demo import report
from backend.demo.plan import plan

QUESTION: Final = "The report is ready. How much of it do you want?"
CHOICES: Final = ("all", "summary")
LAST: Final = "Write the report"


async def planner(task: dict[str, Any]) -> str | None:
    """Take the next step. Answers the result; None when the task waits now.

    Raises:
        ValueError: the report wasn't written.
    """
    parts = {part["title"]: part for part in task["children"]}
    if QUESTION in parts:
        written = parts[LAST]["result"]["markdown"]
        return report.summary(written) if parts[QUESTION]["result"] == "summary" else str(written)
    async with AsyncClient() as client:
        if not parts:
            asked = await client.task(task["parent"])  # what the lead's own task says, it doesn't copy into its parts
            await client.create_tasks(_batch(task["number"], asked.input["folder"]), claim=task["claim"])
            await client.wait_for_children(task["claim"])
        elif parts[LAST]["status"] == "done":
            await client.ask(task["claim"], QUESTION, f"One of: {', '.join(CHOICES)}.")
        else:
            raise ValueError("The report was not written.")
    return None


def _batch(parent: int, folder: str) -> list[TaskNew]:
    return [
        TaskNew.model_validate(
            {
                **part,
                "key": f"t{index}",
                "parent": parent,
                "depends_on": [f"t{other}" for other in part["depends_on"]],  # type: ignore[attr-defined]  # a list by its plan
            }
        )
        for index, part in enumerate(plan(Path(folder)))
    ]


if __name__ == "__main__":
    given = json.loads(Path(os.environ["SQUAD_TASK_FILE"]).read_text("utf-8"))
    sys.stdout.write(asyncio.run(planner(given)) or "")
