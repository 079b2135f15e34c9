"""What models say is told as they say it: to those who want it, in pieces that say their place, and kept nowhere."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from agentsquad.schemas import limits
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.steps import StepText
from backend.core.database import Database
from backend.core.settings import Settings
from backend.live import speech
from backend.live.doorbell import Doorbell
from backend.live.feed import Follower
from backend.live.speech import KEPT, PIECE, Said, Speech
from backend.operations import squads
from backend.operations.access import SquadRef
from tests.campaigns.crew import Team, until
from tests.live.stage import PATIENCE, connected, feeding, following, last, piece, pieces, positions, write
from tests.wire import relayed

CANARY = "canary-6f1c"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is told of whenever something comes."""
    monkeypatch.setattr(speech, "EVERY", 0.0)


def anything(_said: Said) -> bool:
    return True


def speaking(say: Callable[[Said], None], squad_id: UUID | None, task: int = 1, step: int = 1) -> Speech:
    assert squad_id is not None
    return Speech(say, squad_id, task=task, attempt=1, member="hal", step=step)


async def told(follower: Follower, enough: Callable[[list[StepText]], bool]) -> list[StepText]:
    """What a follower hears until that is enough; events are left aside."""
    said: list[StepText] = []
    async with asyncio.timeout(PATIENCE):
        while not enough(said):
            await follower.next(PATIENCE)
            said += pieces(follower.said())
    return said


def whole(said: list[StepText]) -> str:
    """The answer, of which nothing may be missing."""
    text = ""
    for each in said:
        text = text[: each.offset] + each.text if each.offset == 0 else text + each.text
        assert len(text) == each.offset + len(each.text)
    return text


def so_far(text: str) -> Callable[[list[StepText]], bool]:
    return lambda said: bool(said) and said[-1].offset + len(said[-1].text) >= len(text)


@pytest.mark.usefixtures("at_once")
async def test_every_process_hears_it_once_and_in_order(database: Database, other: Database, team: Team) -> None:
    async with (
        feeding(database) as feed,
        feeding(other) as far,
        following(feed, team, hears=anything) as here,
        following(far, team, hears=anything) as there,
    ):
        await connected(feed, here)
        await connected(feed, there)
        await connected(far, there)
        for say in (feed.say, far.say):
            words = [f"{number} " for number in range(50)]
            with speaking(say, team.squad.id) as answer:
                for word in words:
                    answer.add(word)
                    await asyncio.sleep(0)
                for follower in (here, there):
                    assert whole(await told(follower, so_far("".join(words)))) == "".join(words)
        assert pieces([*here.said(), *there.said()]) == []


async def test_an_answer_is_told_of_at_most_four_times_a_second() -> None:
    said: list[Said] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    with speaking(said.append, uuid4()) as answer:
        while loop.time() < began + 0.6:
            answer.add("x")
            await asyncio.sleep(0.001)
    assert 1 <= len(said) <= 1 + (loop.time() - began) / speech.EVERY
    assert whole(pieces(said)) == "x" * (pieces(said)[-1].offset + len(pieces(said)[-1].text))


async def test_an_answer_that_has_ended_says_no_more() -> None:
    said: list[Said] = []
    with speaking(said.append, uuid4()) as answer:
        answer.add("x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert said == []


@pytest.mark.usefixtures("at_once")
async def test_what_counts_no_more_begins_anew() -> None:
    said: list[Said] = []
    with speaking(said.append, uuid4()) as answer:
        for text in ("one ", "two", "", "three ", "four"):
            answer.add(text)
            await until(lambda: not answer._timer, PATIENCE)
    assert [(each.offset, each.text) for each in pieces(said)] == [
        (0, "one "), (4, "two"), (0, ""), (0, "three "), (6, "four"),
    ]  # fmt: skip


async def test_what_is_taken_back_before_it_was_told_is_not_told() -> None:
    said: list[Said] = []
    with speaking(said.append, uuid4()) as answer:
        for text in ("secret", "", "public"):
            answer.add(text)
        await until(lambda: said, PATIENCE)
    assert [(each.offset, each.text) for each in pieces(said)] == [(0, "public")]


@pytest.mark.parametrize(
    "letter", ["x", "\x01", "\0", '"', "\\", "é", "\u2028", "💥", "\ud83d"], ids=lambda letter: f"U+{ord(letter):04X}"
)
async def test_any_text_of_any_length_fits_and_comes_whole(database: Database, team: Team, letter: str) -> None:
    text = letter * (3 * PIECE + 7)
    said: list[Said] = []
    member = "é" * limits.NAME
    with Speech(
        said.append, team.squad.id or uuid4(), task=limits.NUMBER_MAX, attempt=2**31, member=member, step=2**31
    ) as one:
        for start in range(0, len(text), 1000):
            one.add(text[start : start + 1000])
        await until(lambda: said, PATIENCE)
    assert max(len(each.payload.encode()) for each in said) <= 7_900
    async with feeding(database) as feed, following(feed, team, hears=anything) as follower:
        await connected(feed, follower)
        for each in said:
            feed.say(each)
        heard = await told(follower, so_far(text))
    assert whole(heard) == text.encode("utf-8", "replace").decode()


async def test_a_megabyte_at_once_comes_whole_and_delays_no_event(database: Database, team: Team) -> None:
    text = "".join(f"{number:09} " for number in range(100_000))
    end = last(database.url, team)
    async with feeding(database) as feed, following(feed, team, end, hears=anything) as follower:
        await connected(feed, follower)
        async with following(feed, team, end) as deaf:
            with speaking(feed.say, team.squad.id) as answer:
                answer.add(text)
                await until(lambda: not answer._timer, PATIENCE)
                await write(database, team)
                assert await positions(deaf, end + 1) == [end + 1]
                assert deaf.said() == []
                assert whole(await told(follower, so_far(text))) == text


async def test_more_than_is_kept_loses_its_beginning_and_shows_it(database: Database, team: Team) -> None:
    text = "x" * (KEPT + 100) * PIECE
    async with feeding(database) as feed, following(feed, team, hears=anything) as follower:
        await connected(feed, follower)
        with speaking(feed.say, team.squad.id) as answer:
            answer.add(text)
            heard = await told(follower, so_far(text))
        assert heard[0].offset == 100 * PIECE
        assert sum(len(each.text) for each in heard) == KEPT * PIECE


async def test_who_does_not_read_misses_text_and_no_event(database: Database, team: Team) -> None:
    end = last(database.url, team)
    async with feeding(database) as feed, feed.channel(await feed.require(team.owner, team.squad)) as channel:
        slow = Follower(feed, channel, team.owner, team.squad, end, hears=anything)
        for number in range(3 * KEPT):
            channel.hear(piece(team.squad.id, "x", offset=number))
        await write(database, team, 120)
        await until(lambda: channel.last == end + 120, PATIENCE)
        assert await positions(slow, end + 120) == list(range(end + 1, end + 121))
        heard = pieces(slow.said())
        assert [each.offset for each in heard] == list(range(2 * KEPT, 3 * KEPT))
        assert len(channel.said) == KEPT
        assert slow.said() == []


async def test_only_who_wants_it_is_woken_by_it(database: Database, team: Team) -> None:
    end = last(database.url, team)
    async with feeding(database) as feed, feed.channel(await feed.require(team.owner, team.squad)) as channel:
        one = Follower(feed, channel, team.owner, team.squad, end, hears=lambda said: said.task == 2)
        deaf = Follower(feed, channel, team.owner, team.squad, end)
        sleeping, waiting = asyncio.create_task(deaf.next(PATIENCE)), asyncio.create_task(one.next(PATIENCE))
        await asyncio.sleep(0)
        channel.hear(piece(team.squad.id, "a", task=1))
        channel.hear(piece(team.squad.id, "b", task=2))
        assert await waiting == []
        assert [each.text for each in pieces(one.said())] == ["b"]
        assert not sleeping.done()
        await write(database, team)
        assert [each.position for each in await sleeping] == [end + 1]
        assert deaf.said() == []


async def test_who_comes_later_hears_what_is_said_from_then_on(database: Database, team: Team) -> None:
    async with feeding(database) as feed, feed.channel(await feed.require(team.owner, team.squad)) as channel:
        channel.hear(piece(team.squad.id, "early"))
        late = Follower(feed, channel, team.owner, team.squad, 0, hears=anything)
        channel.hear(piece(team.squad.id, "later", offset=5))
        assert [(each.offset, each.text) for each in pieces(late.said())] == [(5, "later")]


async def test_nobody_hears_what_is_said_in_another_squad(database: Database, other: Database, team: Team) -> None:
    squad_id: Any = await database.transact(squads.create, team.owner, SquadNew(name="elsewhere"))
    foreign = replace(team, squad=SquadRef(UUID(str(squad_id)), None))
    async with feeding(database) as feed, feeding(other) as far, following(feed, team, hears=anything) as ours:
        await connected(feed, ours)
        async with following(feed, foreign, hears=anything) as here, following(far, foreign, hears=anything) as there:
            await connected(far, there)
            for say in (feed.say, far.say):
                say(piece(team.squad.id, "ours alone"))
                assert [each.text for each in await told(ours, bool)] == ["ours alone"]
                say(piece(foreign.squad.id, "theirs"))
                for follower in (here, there):
                    assert [each.text for each in await told(follower, bool)] == ["theirs"]
            assert pieces(ours.said()) == []


async def test_without_a_database_text_is_dropped_and_events_are_not(database: Database, team: Team) -> None:
    async with relayed(database.url) as relay:
        through = Database(Settings(DATABASE_URL=relay.url()))
        async with feeding(through) as feed:
            end = last(database.url, team)
            async with following(feed, team, end, hears=anything) as follower:
                await connected(feed, follower)
                relay.cut()
                bell = feed._bell
                for number in range(3 * KEPT):
                    feed.say(piece(team.squad.id, "lost", offset=number))
                assert len(bell._saying) == KEPT
                await write(database, team, 3)
                assert await positions(follower, end + 3) == [end + 1, end + 2, end + 3]
                await until(lambda: not bell._saying, PATIENCE)
                await connected(feed, follower)
        await through.close()


async def test_it_is_kept_nowhere(database: Database, team: Team) -> None:
    async with feeding(database) as feed, following(feed, team, hears=anything) as follower:
        await connected(feed, follower)
        with speaking(feed.say, team.squad.id) as answer:
            answer.add(CANARY)
            assert whole(await told(follower, so_far(CANARY))) == CANARY
    assert found_in(database.url, CANARY) == []
    await write(database, team, size=0)
    assert "tasks" in found_in(database.url, '"x"')  # the control: the same search finds what is there


def found_in(url: str, text: str) -> list[str]:
    """The tables of which a row holds this text."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        tables = [name for (name,) in cursor.fetchall()]
        holding = []
        for name in tables:
            cursor.execute(f'SELECT 1 FROM "{name}" AS t WHERE to_jsonb(t)::text LIKE %s LIMIT 1', (f"%{text}%",))
            holding += [name] if cursor.fetchall() else []
        return holding


async def test_a_piece_goes_from_process_to_process_as_it_is() -> None:
    said = Said(uuid4(), 12, json.dumps({"text": "a  b "}))
    assert Said.read(said.payload) == said


def test_a_bell_that_nobody_runs_keeps_little(database: Database, team: Team) -> None:
    bell = Doorbell(database.async_engine, lambda _heard: None, lambda _said: None)
    for number in range(2 * KEPT):
        bell.say(piece(team.squad.id, "x", offset=number))
    assert len(bell._saying) == KEPT
