"""A command as a member: it speaks for itself while its attempt is live, and is stopped when it isn't."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentsquad.cli import work
from agentsquad.cli.attempts import Stdin, Work
from agentsquad.client import AsyncClient, LostClaim, Unauthenticated
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadEdit
from agentsquad.schemas.tasks import TaskNew
from tests.cli.conftest import Start, starting
from tests.cli.test_processes import ended, until

ASQ = f"{sys.executable} -m agentsquad"


@pytest.fixture
def start(web: str) -> Iterator[Start]:
    """Start a command in the squad, which the end of the test ends."""
    with starting() as start:
        yield start


@pytest.fixture
async def squad(web: str) -> AsyncIterator[AsyncClient]:
    """A squad with a member `ada`."""
    async with AsyncClient() as client:
        yield client


def status(squad: AsyncClient, number: int, wanted: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return (await squad.task(number)).status == wanted

    return holds


async def made(squad: AsyncClient, *titles: str, **more: Any) -> None:
    await squad.create_tasks([TaskNew(title=title, **more) for title in titles])


async def done(worker: "subprocess.Popen[str]") -> str:
    """What a worker said until its end."""
    said, _ = await asyncio.to_thread(worker.communicate, timeout=30)
    return str(said)


async def outcomes(squad: AsyncClient, number: int = 1) -> list[str | None]:
    return [attempt.outcome for attempt in await squad.attempts(number)]


async def test_it_comes_with_a_token_and_no_key(squad: AsyncClient, start: Start) -> None:
    await made(squad, "Cart is lost")
    names = "SQUAD_API_KEY SQUAD_TOKEN SQUAD_MEMBER SQUAD_TASK SQUAD_CLAIM SQUAD_ID SQUAD_URL"
    await done(start("work", "--as", "ada", "--once", "--", "sh", "-c", f"for n in {names}; do eval echo \\$$n; done"))
    task = await squad.task(1)
    key, token, *rest = ("\n" + task.result).split("\n")
    assert (key, rest) == ("", ["ada", "1", "1/1", str(task.squad), squad.url])
    assert token.startswith("sqm_")
    async with AsyncClient(key=token) as child:

        async def dead() -> bool:
            try:
                await child.me()
            except Unauthenticated:
                return True
            return False

        await until(dead, 1.2)


NESTED = f"""
{ASQ} send "I looked."
{ASQ} task create "A part" -d "small"
{ASQ} task create "Another" --parent 1
{ASQ} task show 1 --json | grep -c '"holder": "ada"'
"""


async def test_what_it_types_is_said_by_the_member_about_its_task(squad: AsyncClient, start: Start) -> None:
    await made(squad, "Cart is lost")
    await done(start("work", "--as", "ada", "--once", "--", "sh", "-c", NESTED))
    assert (await squad.task(1)).result == "sent to owner\n#2 todo\n#3 todo\n1"
    assert [(message.sender, message.body) for message in await squad.thread(1)] == [("ada", "I looked.")]
    assert [(task.created_by, task.parent) for task in await squad.tasks(parent=1)] == [("ada", 1), ("ada", 1)]
    actors = {
        event.actor.user for event in (await squad.events()).items if event.actor.member == "ada" and event.task != 1
    }
    assert actors == {None}


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (f'{ASQ} ask "Which way?"', "waiting"),
        (f"{ASQ} task create part && {ASQ} task wait", "waiting"),
        (f"{ASQ} task handoff 1 yours --to owner", "handed_off"),
        (f"{ASQ} task complete 1 mended", "completed"),
        (f"{ASQ} task release", "released"),
    ],
)
async def test_a_command_may_end_its_own_attempt(squad: AsyncClient, start: Start, script: str, outcome: str) -> None:
    await made(squad, "Cart is lost")
    said = await done(start("work", "--as", "ada", "--once", "--", "sh", "-c", script))
    assert said.splitlines()[-1] == f"#1: attempt 1 ended: {outcome.replace('_', ' ')}"
    assert await outcomes(squad) == [outcome]


async def test_an_answer_wakes_the_command_that_asked(squad: AsyncClient, start: Start) -> None:
    await made(squad, "Cart is lost", role="tester")
    script = f'grep -A1 "## Part #2" || {ASQ} ask "Which way?"'
    start("work", "--as", "ada", "--", "sh", "-c", script)
    await until(status(squad, 1, "blocked"))
    await squad.answer(2, "left")
    await until(status(squad, 1, "done"))
    assert (await squad.task(1)).result == "## Part #2: Which way?\nleft"


@pytest.mark.parametrize("way", ["cancel", "pause", "retire", "pause the squad", "archive", "block"])
async def test_whoever_ends_an_attempt_ends_what_runs(
    squad: AsyncClient, start: Start, way: str, tmp_path: Path
) -> None:
    await made(squad, "Cart is lost")
    pid = tmp_path / "pid"
    worker = start("work", "--as", "ada", "--", "sh", "-c", f"(echo $$ > {pid}; exec sleep 60) & wait")
    await until(started(pid))
    match way:
        case "cancel":
            await squad.cancel(1)
        case "pause":
            await squad.pause("ada", now=True)
        case "retire":
            await squad.retire("ada")
        case "pause the squad":
            await squad.pause_squad(now=True)
        case "archive":
            await squad.archive_squad()
        case "block":
            await squad.block(1, "no money")
    assert await asyncio.to_thread(ended, pid)
    assert worker.poll() is None or way in {"retire", "archive"}


def started(pid: Path) -> Callable[[], Awaitable[bool]]:
    """Whether a script has written its process id."""

    async def there() -> bool:
        return await asyncio.to_thread(lambda: pid.exists() and bool(pid.read_text()))

    return there


async def test_ctrl_c_gives_back_all_and_the_second_kills(squad: AsyncClient, start: Start, tmp_path: Path) -> None:
    await made(squad, "a", "b", "c")
    script = f"trap '' TERM; echo $$ > {tmp_path}/$SQUAD_TASK; while :; do sleep 0.1; done"
    worker = start("work", "--as", "ada", "--concurrency", "3", "--", "sh", "-c", script)
    files = [tmp_path / str(number) for number in (1, 2, 3)]
    for file in files:
        await until(started(file))
    assert {task.status for task in await squad.tasks()} == {"in_progress"}
    worker.send_signal(signal.SIGINT)
    await asyncio.sleep(0.5)  # seconds; ten are left to those that don't listen
    assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    said = await done(worker)
    assert (worker.returncode, "Traceback" in said) == (0, False)
    assert all([await asyncio.to_thread(ended, file) for file in files])
    assert [(task.status, task.tries_left) for task in await squad.tasks()] == [("todo", 3)] * 3


async def test_ctrl_c_leaves_each_command_its_time_though_another_has_ended(
    squad: AsyncClient, start: Start, tmp_path: Path
) -> None:
    await made(squad, "a", "b")
    tidy = tmp_path / "tidy"
    script = (
        f"[ $SQUAD_TASK = 1 ] || trap 'sleep 1; : > {tidy}; exit' TERM; "
        f"echo $$ > {tmp_path}/$SQUAD_TASK; while :; do sleep 0.1; done"
    )
    worker = start("work", "--as", "ada", "--concurrency", "2", "--", "sh", "-c", script)
    for number in (1, 2):
        await until(started(tmp_path / str(number)))
    worker.send_signal(signal.SIGINT)
    await done(worker)
    assert tidy.exists()
    assert [(task.status, task.tries_left) for task in await squad.tasks()] == [("todo", 3)] * 2


async def test_a_terminal_that_closes_gives_the_task_back(squad: AsyncClient, start: Start, tmp_path: Path) -> None:
    await made(squad, "Cart is lost")
    pid = tmp_path / "pid"
    worker = start("work", "--as", "ada", "--", "sh", "-c", f"echo $$ > {pid}; sleep 60")
    await until(started(pid))
    worker.send_signal(signal.SIGHUP)
    await done(worker)
    assert ended(pid)
    assert await outcomes(squad) == ["released"]


async def test_several_are_run_at_once_and_none_twice(squad: AsyncClient, start: Start, tmp_path: Path) -> None:
    await made(squad, *"abcdefghi")
    mark = "run-$SQUAD_TASK"
    script = f"cd {tmp_path}; : > {mark}; ls run-* | wc -l >> seen; echo $SQUAD_TASK >> all; sleep 0.3; rm {mark}"
    start("work", "--as", "ada", "-c", "3", "--", "sh", "-c", script)
    for number in range(1, 10):
        await until(status(squad, number, "done"))
    at_once = {int(line) for line in (tmp_path / "seen").read_text().split()}
    assert max(at_once) == 3
    assert sorted((tmp_path / "all").read_text().split()) == [str(number) for number in range(1, 10)]


async def test_another_takes_over_from_a_worker_that_was_killed(
    squad: AsyncClient, start: Start, tmp_path: Path
) -> None:
    await squad.update_squad(SquadEdit(lease_seconds=1))
    await made(squad, "Cart is lost")
    pid, late = tmp_path / "pid", tmp_path / "late"
    script = (
        f"echo $$ > {pid}; while [ ! -e {late} ]; do sleep 0.05; done; {ASQ} send late; {ASQ} task create late; "
        f"{ASQ} task complete 1 late; echo $? > {late}"
    )
    worker = start("work", "--as", "ada", "--", "sh", "-c", f"({script}) 2>> {tmp_path}/said")
    await until(started(pid))
    worker.send_signal(signal.SIGKILL)
    try:
        await squad.update_squad(SquadEdit(lease_seconds=60))
        await squad.add_member(MemberNew(name="tess"))
        async with AsyncClient(member="tess") as tess:
            claim = await tess.claim(wait=10)
            assert claim is not None
            assert claim.claim == "1/2"
            late.touch()
            await until(started(late))
            assert late.read_text().strip() in {"4", "5"}
            assert (await tess.complete(claim.claim, "fresh")).result == "fresh"
    finally:
        with contextlib.suppress(ProcessLookupError):  # the script has ended by itself
            os.killpg(int(pid.read_text()), signal.SIGKILL)
    assert await squad.thread(1) == []
    assert [task.title for task in await squad.tasks()] == ["Cart is lost"]
    assert await outcomes(squad) == ["lapsed", "completed"]


async def test_even_within_the_second_in_which_it_is_remembered_a_token_changes_nothing(squad: AsyncClient) -> None:
    await made(squad, "Cart is lost")
    async with AsyncClient(member="ada") as ada:
        claim = await ada.claim()
        assert claim is not None
        token = (await ada.create_attempt_token(claim.claim)).secret
        async with AsyncClient(key=token) as child:
            await child.send("alive", task=1)
            await ada.release(claim.claim)
            for call in (child.send("late", task=1), child.create_tasks([TaskNew(title="late")])):
                with pytest.raises((LostClaim, Unauthenticated)):
                    await call
    assert [message.body for message in await squad.thread(1)] == ["alive"]
    assert len(await squad.tasks()) == 1


async def test_a_review_ends_with_the_word_that_was_printed(squad: AsyncClient, start: Start) -> None:
    await made(squad, "Notes", review="tester", role="writer")
    start("work", "--as", "will", "--role", "writer", "--", "sh", "-c", "grep -q date && echo 2026-01-01 || echo draft")
    await until(status(squad, 1, "in_review"))
    reviewing = "grep -q 2026 && echo 'ACCEPT good' || { echo REJECT; echo 'The date is missing.'; }"
    start("work", "--as", "ada", "--", "sh", "-c", reviewing)
    await until(status(squad, 1, "done"))
    assert [(each.kind, each.outcome) for each in await squad.attempts(1)] == [
        ("work", "completed"), ("review", "rejected"), ("work", "completed"), ("review", "accepted")
    ]  # fmt: skip
    assert [message.body for message in await squad.thread(1)] == ["The date is missing.", "good"]


async def test_a_review_without_a_verdict_is_given_back(squad: AsyncClient, start: Start) -> None:
    await made(squad, "Notes", review="")
    claim = await squad.claim()
    assert claim is not None
    await squad.complete(claim.claim, "draft")
    said = await done(start("work", "--as", "ada", "--once", "--", "echo", "Looks nice"))
    assert said.splitlines()[-1] == "#1 is given back and in review: No verdict, exit code 0."
    assert await outcomes(squad) == ["completed", "released"]


async def test_exit_code_75_gives_the_task_back_and_says_why(squad: AsyncClient, start: Start) -> None:
    await made(squad, "Cart is lost")
    said = await done(start("work", "--as", "ada", "--once", "--", "sh", "-c", "echo busy >&2; exit 75"))
    assert said.splitlines()[-1] == "#1 is given back and todo: busy"
    attempt = (await squad.attempts(1))[0]
    assert (attempt.outcome, attempt.reason) == ("released", "busy")


@pytest.mark.parametrize("script", ["exit 75", f"{ASQ} task release"])
async def test_who_gives_back_again_and_again_waits_longer_each_time(
    squad: AsyncClient, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    enough = asyncio.Event()
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        if seconds in work.PAUSES:
            paused.append(seconds)
            if len(paused) == 5:
                enough.set()
        await sleep(0 if seconds in work.PAUSES else seconds)

    monkeypatch.setattr("agentsquad.cli.work.asyncio.sleep", counted)
    await made(squad, "Cart is lost")
    async with AsyncClient(member="ada") as ada:
        how = Work(("sh", "-c", script), "ada", stdin=Stdin.NONE)
        working = asyncio.create_task(work.loop(ada, how))
        await enough.wait()
        working.cancel()
        await asyncio.wait({working})
    assert paused[:5] == [1, 5, 20, 60, 60]


async def test_what_others_wrote_is_in_the_prompt_once(squad: AsyncClient, start: Start) -> None:
    await squad.send("Mind the cookie.", to="ada")
    await made(squad, "a", "b")
    worker = start("work", "--as", "ada", "--", "cat")
    await until(status(squad, 2, "done"))
    worker.terminate()
    first, second = (await squad.task(1)).result, (await squad.task(2)).result
    assert "## Unread messages\nowner: Mind the cookie." in first
    assert "Mind the cookie" not in second


async def test_what_others_wrote_cannot_command_the_terminal_of_a_worker(squad: AsyncClient, start: Start) -> None:
    await made(squad, "\x1b[2J cart")
    said = await done(start("work", "--as", "ada", "--once", "--", "true"))
    assert "\x1b" not in said
    assert said.splitlines()[0].endswith("\ufffd[2J cart")


async def test_a_member_that_is_there_keeps_its_role(squad: AsyncClient, start: Start) -> None:
    worker = start("work", "--as", "ada", "--role", "writer", "--", "true")
    assert await done(worker) == (
        "ada is there already as tester; leave out --role, or change it with `asq member edit ada --role writer`.\n"
    )
    assert worker.returncode == 2
