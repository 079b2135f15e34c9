"""The plan is a batch that the board accepts: layers of tasks, the report last."""

import json
from pathlib import Path

from backend.demo import kinds
from backend.demo.plan import plan


def test_every_analysis_is_one_task_for_one_of_three_roles(tmp_path: Path) -> None:
    tasks = plan(tmp_path)
    names = [task["input"]["analysis"] for task in tasks]  # type: ignore[index]
    assert names == [*kinds.BY_NAME, kinds.HOTSPOTS, kinds.REPORT]
    assert {task["role"] for task in tasks} == {"reviewer", "architect", "writer"}
    assert all(len(str(task["title"])) <= 200 and task["description"] for task in tasks)


def test_the_graph_has_layers_and_the_report_waits_for_all(tmp_path: Path) -> None:
    edges = [task["depends_on"] for task in plan(tmp_path)]
    assert edges[0] == []
    assert all(edge == [0] for edge in edges[1:-2])
    assert edges[-2] == list(range(1, len(edges) - 2))
    assert edges[-1] == list(range(len(edges) - 1))


def test_the_folder_is_absolute_and_the_batch_is_json() -> None:
    tasks = json.loads(json.dumps(plan(Path())))
    assert {task["input"]["folder"] for task in tasks} == {str(Path.cwd())}
