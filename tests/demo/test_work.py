"""The worker's command, from a task's file to the report that a person reads."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.demo import kinds, results, work
from backend.demo.plan import plan

MARK = "TO" + "DO"
MESS = f"""
import os
# {MARK}: a | b
class Silent:
    pass
def many(a, b, c, d, e, f, g, h=[]):
    try:
        a = 1
        b = 2
        c = 3
        d = 4
    except:
        pass
"""


def squad(folder: Path) -> dict[str, Any]:
    """Do the whole plan as the board would, and return the report."""
    done: list[dict[str, Any]] = []
    for number, task in enumerate(plan(folder), 1):
        waits = [done[index] for index in task["depends_on"]]  # type: ignore[attr-defined]
        given = {"number": number, "attempt": 1 + (number == 3), "title": task["title"], "input": task["input"]}
        result = work.run(json.loads(json.dumps({**given, "dependencies": waits})), "lou")
        text: Any = json.dumps(result) if number % 2 else result  # a result arrives as either
        done.append({**given, "role": task["role"], "holder": "ada", "result": text})
    return result


def mess(folder: Path) -> Path:
    (folder / "broken.py").write_text("x = 1\ndef (")
    (folder / "one.py").write_text("import two\n" + MESS)
    (folder / "two.py").write_text("import one\n" + MESS)
    branches = "".join(f"    if x == {n}:\n        x += {n}\n" for n in range(31))
    (folder / "three.py").write_text(f"def large(x):\n{branches}")
    return folder


def test_the_report_has_file_and_line_of_every_kind(tmp_path: Path) -> None:
    text = str(squad(mess(tmp_path))["markdown"])
    sections = dict(re.findall(r"^## ([^:\n]+)[^\n]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    for kind in kinds.KINDS:
        head = "Sizes" if kind.name == "size" else kind.many[0].upper() + kind.many[1:]
        assert re.search(r"^\| `[\w/.]+` \| \d+ \|", sections[head], re.MULTILINE), head
    assert "| `broken.py` | 2 |" in text
    assert "| `one.py` | 1 | `one → two → one` | 2 |" in text
    assert f"`{MARK}: a \\| b`" in text


def test_the_summary_has_five_lines_and_the_last_table_every_hand(tmp_path: Path) -> None:
    text = str(squad(mess(tmp_path))["markdown"])
    summary = text.partition("## Summary\n\n")[2].partition("\n\n## ")[0]
    assert len(summary.splitlines()) == 5
    assert "| #3 | Find the import cycles | architect | ada | 2 |" in text
    assert text.endswith("| #14 | Write the report | writer | lou | 1 |\n")


def test_every_row_of_every_table_has_its_columns(tmp_path: Path) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", str(squad(mess(tmp_path))["markdown"]), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_an_empty_folder_has_a_report_too(tmp_path: Path) -> None:
    text = str(squad(tmp_path)["markdown"])
    assert "There is no Python in the folder." in text
    assert "- Import cycles\n" in text


def test_many_findings_stay_small_and_are_all_counted(tmp_path: Path) -> None:
    for name in range(30):
        (tmp_path / f"{'é' * 80}{name}.py").write_text("def f(): pass\n" * 40 + f"# {MARK}: {'€' * 200}\n" * 40)
    task = {"input": {"folder": str(tmp_path), "analysis": "open_ends"}}
    answer = work.run(task)
    assert len(results.dump(answer)) <= results.MAX_BYTES
    assert answer["summary"] == "1,200 open ends in 30 files."
    assert len(answer["rows"]) + answer["more"] == 1_200  # type: ignore[arg-type, operator]
    assert len(results.dump(squad(tmp_path))) < 256 * 1024


@pytest.mark.parametrize("hostile", [None, 7, "words", "[" * 9_000, {"rows": 1}, {"analysis": "size", "rows": [[], 7]}])
def test_what_others_handed_in_cannot_stop_the_report(hostile: object) -> None:
    dependencies = [7, {"number": "x", "title": "a|b\n<i>", "holder": None, "result": hostile}]
    task = {"number": 2, "input": {"folder": "/x", "analysis": "report"}, "dependencies": dependencies}
    text = str(work.run(task, "lou")["markdown"])
    assert "a\\|b \\<i\\>" in text
    assert "No result was handed in." in text


def test_a_summary_from_outside_stays_one_line() -> None:
    given = {"analysis": "parse", "summary": "a\n\n# b <script>" + "x" * 9_000}
    task = {"input": {"folder": "/x", "analysis": "report"}, "dependencies": [{"result": given}]}
    text = str(work.run(task)["markdown"])
    assert "- **Read:** a # b &lt;script>x" in text


@pytest.mark.parametrize("given", [None, {}, {"folder": "/nowhere/at/all", "analysis": "size"}, {"folder": "/"}])
def test_a_task_that_cannot_be_done_says_why(given: object) -> None:
    with pytest.raises(ValueError, match=r"no folder|not a folder|no analysis"):
        work.run({"input": given})


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("1.5", 1.5), ("-1", 0), ("nan", 0), ("inf", 0), ("1e9", 60)])
def test_the_pace_is_some_seconds_or_none(text: str, seconds: float) -> None:
    assert work.pace(text) == seconds


def command(**environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SQUAD_", "DEMO_"))}
    run = [sys.executable, "-m", "backend.demo.work"]
    return subprocess.run(run, env=kept | environment, capture_output=True, text=True, check=False)


def test_the_command_reads_the_task_and_writes_only_the_result(tmp_path: Path) -> None:
    file = mess(tmp_path) / "task.json"
    file.write_text(json.dumps({"number": 1, "input": {"folder": str(tmp_path), "analysis": "cycles"}}))
    done = command(SQUAD_TASK_FILE=str(file), LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["rows"] == [["one.py", 1, "one → two → one", 2]]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"input": {"folder": "/", "analysis": "poetry"}}'])
def test_the_command_fails_with_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "task.json").write_text(text)
    done = command(SQUAD_TASK_FILE=str(tmp_path / "task.json") if text else "")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
