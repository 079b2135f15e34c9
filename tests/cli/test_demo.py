"""The demo as a newcomer types it: a report, a killed worker, nothing left."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from backend.core.embedded import Cluster
from tests.cli.conftest import Asq


def test_a_squad_reviews_a_folder_although_a_worker_is_killed(asq: Asq, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text("import b\n\n\ndef public(x=[]):\n    return x\n")
    (source / "b.py").write_text("import a\n")
    report, picture = tmp_path / "report.md", tmp_path / "demo.svg"
    report.write_text("# Review of an older state\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = asq("demo", str(source), "--report", str(report), "--picture", str(picture), TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    beats = [line[9:] for line in done.stdout.splitlines() if re.match(r" *[\d.]+ s  \(\d\)", line)]
    assert beats[0] == (
        "(1) lea, whom the server itself runs (offline:rehearsal), gave #1 to the planner as #2, and waits for it"
    )
    assert beats[1] == "(1) pia split #2 into 14 tasks with dependencies; five workers take them"
    assert "rob is killed with SIGKILL while it holds #" in beats[2]
    assert any(re.fullmatch(r"\(2\) #\d+ lapsed after 3 s, attempt 2 by \w+", beat) for beat in beats)
    (late,) = re.findall(r"\(3\) rio woke and handed in #(\d+): lost_claim; what counts is (\w+)'s", done.stdout)
    assert re.search(r"\(4\) the server is killed with SIGKILL, at position (\d+)", done.stdout)
    assert re.search(r"\(4\) the server is back; the feed went on at (\d+), nothing missed", done.stdout)
    assert re.search(r"\(5\) \$ asq why 16\n.*#16 waits for ", done.stdout)
    assert '$ asq answer 17 "all"' in done.stdout
    table = dict(re.findall(r"│ ([\w, ]+?) +│ ([^│]+?) +│", done.stdout))
    assert table["tasks"] == "17"
    assert int(table["lapsed attempts"]) >= 2
    assert (table["late results, refused"], table["tasks completed twice"]) == ("1", "0")
    assert re.fullmatch(r"1 … \d+, no gaps", table["positions"])
    text = report.read_text()
    assert "a.py" in text
    assert re.search(rf"\| #{late[0]} \|.*\| {late[1]} \| [23] \|", text)
    drawn = picture.read_text()
    assert drawn.count('<g class="frame ') >= len(set(beats)) > 6
    assert "@font-face" not in drawn
    assert not list(temporary.iterdir())
    assert not processes_of(str(temporary))


def processes_of(*places: str) -> list[psutil.Process]:
    """The processes whose environment or command names one of the places."""
    running = psutil.process_iter(["environ", "cmdline"])
    return [p for p in running if any(place in f"{p.info['environ']}{p.info['cmdline']}" for place in places)]


@pytest.mark.parametrize(
    ("ending", "moment"),
    [
        (signal.SIGHUP, "a home"),
        (signal.SIGHUP, "a cluster"),
        (signal.SIGTERM, "a server"),
        (signal.SIGINT, "a server"),
        (signal.SIGTERM, "a squad"),
    ],
)
def test_a_demo_that_is_ended_leaves_nothing(
    ending: signal.Signals, moment: str, start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    source, temporary, link = tmp_path / "source", tmp_path / "tmp", tmp_path / "link"
    for folder in (source, temporary):
        folder.mkdir()
    (source / "a.py").touch()
    link.symlink_to(temporary)
    monkeypatch.setenv("TMPDIR", str(link))
    process = start("demo", str(source), "--report", str(tmp_path / "report.md"))
    assert process.stdout is not None
    home = await_one(temporary, "agentsquad-demo-*")
    cluster = Cluster(home)
    if moment == "a cluster":
        await_one(cluster._store, "postgres")
    elif moment == "a server":
        await_one(home, "servers/*.json")
    elif moment == "a squad":
        while "is killed" not in process.stdout.readline():
            assert process.poll() is None
    process.send_signal(ending)
    said = process.stdout.read()
    assert process.wait(30) == 128 + ending
    assert "Traceback" not in said
    assert not list(temporary.iterdir())
    assert not cluster.socket_dir.exists()
    ends = time.monotonic() + 10
    while left := processes_of(str(temporary), str(cluster._store)):
        # The command of the worker that is killed is nobody's from then on; it ends by itself within a second or so.
        assert time.monotonic() < ends, left
        time.sleep(0.05)


def await_one(folder: Path, pattern: str) -> Path:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        for found in folder.glob(pattern):
            return found
        time.sleep(0.02)
    raise AssertionError(folder / pattern)


def test_somebody_elses_report_is_not_overwritten(asq: Asq, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    report.write_text("# My report\n")
    done = asq("demo", str(tmp_path), "--report", str(report))
    assert done.returncode == 1
    assert done.stderr == f"{report} is not a report of the demo; name another file with --report.\n"
    assert report.read_text() == "# My report\n"


def test_a_folder_that_is_not_there_is_one_sentence(asq: Asq, tmp_path: Path) -> None:
    done = asq("demo", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "is not a folder; name one with Python source." in done.stderr
    assert not list(tmp_path.iterdir())
