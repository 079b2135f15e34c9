"""The command of a worker: `python -m backend.demo.work` does the task in `SQUAD_TASK_FILE`.

The result goes to standard output as JSON; what is wrong with the task is said on standard error.
`DEMO_PACE` are seconds that pass before the answer, so that people can watch.
"""

import gc
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from backend.demo import kinds, report, results, source

MAX_PACE = 60.0


def run(task: Mapping[str, object], member: str = "") -> dict[str, object]:
    """Do one task, as `member`, and return its result.

    Raises:
        ValueError: the task names no folder, or no analysis that there is.
    """
    given = task.get("input")
    given = given if isinstance(given, Mapping) else {}
    name, folder = given.get("analysis"), given.get("folder")
    if not isinstance(folder, str) or not folder:
        raise ValueError("The task's input names no folder.")
    dependencies = task.get("dependencies")
    values = dependencies if isinstance(dependencies, list) else []
    parts = [part for part in map(results.part, values) if part]
    if name == kinds.HOTSPOTS:
        return report.hotspots(parts).as_json()
    if name == kinds.REPORT:
        own = results.part({"role": "writer", "holder": member, **task})
        return _report(folder, [*parts, *([own] if own else [])])
    kind = kinds.BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"There is no analysis {name!r}.")
    where = Path(folder)
    if not where.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    tree = source.find(where)
    return results.of(kind, kind.find(tree), tree).as_json()


def pace(text: str) -> float:
    """The seconds that a setting names; none where it names nothing usable."""
    try:
        seconds = float(text or 0)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), MAX_PACE) if math.isfinite(seconds) else 0.0


def main() -> None:
    """Read the task, do it, write the result."""
    file = os.environ.get("SQUAD_TASK_FILE")
    if not file:
        sys.exit("SQUAD_TASK_FILE is not set: this is the command of a worker.")
    try:
        task = json.loads(Path(file).read_text("utf-8"))
        answer = run(task if isinstance(task, dict) else {}, os.environ.get("SQUAD_MEMBER", ""))
    except (OSError, ValueError, RecursionError) as error:
        sys.exit(f"This task cannot be done: {error}")
    time.sleep(pace(os.environ.get("DEMO_PACE", "")))
    sys.stdout.write(results.dump(answer) + "\n")


def _report(folder: str, parts: list[results.Part]) -> dict[str, object]:
    found = [part.result for part in parts if part.result]
    total = sum(r.total for r in found if r.analysis not in {"size", kinds.HOTSPOTS})
    handed = f"{len(found)} {'result' if len(found) == 1 else 'results'}"
    summary = f"A report of {total:,} findings out of {handed}."
    text = report.markdown(folder, parts)
    return {"analysis": kinds.REPORT, "summary": summary, "markdown": text}


if __name__ == "__main__":
    gc.disable()  # a short life with many small objects and no rings of them
    main()
