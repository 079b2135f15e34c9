"""The lead's command: `python -m backend.demo.lead` turns its task into the tasks of a review."""

import asyncio
import json
import os
import sys
from pathlib import Path

from agentsquad.client import AsyncClient
from agentsquad.schemas.tasks import TaskNew
from backend.demo.plan import plan


async def split(folder: Path) -> str:
    """Create the batch as the member that holds the task. Answers a sentence about it."""
    planned = plan(folder)
    batch = [
        TaskNew.model_validate(
            task | {"key": f"t{index}", "depends_on": [f"t{other}" for other in task["depends_on"]]}  # type: ignore[attr-defined]  # a list by its plan
        )
        for index, task in enumerate(planned)
    ]
    async with AsyncClient() as client:
        made = await client.create_tasks(batch)
    return f"Split into {len(made)} tasks, #{made[0].number} to #{made[-1].number}."


if __name__ == "__main__":
    given = json.loads(Path(os.environ["SQUAD_TASK_FILE"]).read_text("utf-8"))
    sys.stdout.write(asyncio.run(split(Path(given["input"]["folder"]))) + "\n")
