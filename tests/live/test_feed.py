"""Whoever follows from a position gets every event behind it, in order, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from agentsquad.schemas.messages import MessageNew
from backend.core.database import Database
from backend.core.settings import Settings
from backend.live import feed as feeds
from backend.live.feed import Channel, Feed, Follower, Told
from backend.operations import messages
from tests.campaigns.crew import Team, found, until
from tests.live.stage import PATIENCE, feeding, following, last, positions, read, write
from tests.wire import relayed, turns_of

ENDLESS = 3600.0


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[Feed]:
    async with feeding(database) as feed:
        yield feed


@pytest.mark.parametrize("start", [0, 1, 5, 12, 13, 15])
async def test_every_event_behind_any_position_comes_once_and_in_order(
    database: Database, feed: Feed, team: Team, start: int
) -> None:
    await write(database, team, 9)
    assert last(database.url, team) == 12
    async with following(feed, team, start) as follower:
        reading = asyncio.create_task(positions(follower, 20))
        for _ in range(8):
            await write(database, team)
        assert await reading == list(range(start + 1, 21))


async def test_at_the_end_there_is_nothing_until_something_comes(database: Database, feed: Feed, team: Team) -> None:
    end = last(database.url, team)
    async with following(feed, team, end) as follower:
        assert await follower.next(0.1) == []
        waiting = asyncio.create_task(follower.next(PATIENCE))
        await write(database, team)
        assert [told.position for told in await waiting] == [end + 1]


@pytest.mark.parametrize(("amount", "size"), [(feeds.KEPT + 200, 0), (14, 250_000)])
async def test_one_far_behind_is_caught_up_from_the_table_and_joins_the_others(
    database: Database, feed: Feed, team: Team, amount: int, size: int
) -> None:
    end = last(database.url, team) + amount
    async with following(feed, team) as first, feed.channel(await feed.require(team.owner, team.squad)) as channel:
        await write(database, team, amount, size)
        await until(lambda: channel.last == end, PATIENCE)
        assert len(channel.recent) <= feeds.KEPT
        assert channel.size == sum(len(told.text) for told in channel.recent) <= feeds.KEPT_SIZE
        assert channel.recent[0].position > 1
        for follower in (first, Follower(feed, channel, team.owner, team.squad, 3)):
            seen = await read(follower, end)
            start = 4 if follower is not first else 1
            assert [told.position for told in seen] == list(range(start, end + 1))
            await write(database, team)
            end += 1
            assert await read(follower, end) == [channel.recent[-1]]
            assert (await read(Follower(feed, channel, team.owner, team.squad, end - 1), end))[0] is channel.recent[-1]


async def test_one_event_larger_than_all_that_is_kept_is_kept_alone(
    database: Database, feed: Feed, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEPT_SIZE", 100)
    end = last(database.url, team)
    async with (
        following(feed, team, end) as follower,
        feed.channel(await feed.require(team.owner, team.squad)) as channel,
    ):
        await write(database, team, 3)
        assert await positions(follower, end + 3) == [end + 1, end + 2, end + 3]
        assert [told.position for told in channel.recent] == [end + 3]


async def test_followers_who_skip_or_repeat_would_be_seen(
    database: Database, feed: Feed, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same reading finds a feed that is off by one, either way."""
    behind = Channel.behind
    end = last(database.url, team)
    for off in (1, -1):

        def wrong(channel: Channel, position: int, off: int = off) -> list[Told] | None:
            return behind(channel, max(position + off, 0)) or behind(channel, position)

        monkeypatch.setattr(Channel, "behind", wrong)
        async with (
            following(feed, team, end) as follower,
            feed.channel(await feed.require(team.owner, team.squad)) as channel,
        ):
            await write(database, team, 60)
            await until(lambda channel=channel, end=end: channel.last == end + 60, PATIENCE)  # type: ignore[misc]
            assert await positions(follower, end + 60) != list(range(end + 1, end + 61))
        end += 60


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("task", "kinds", "chosen"),
    [
        (2, (), ["task.created", "message.sent"]),
        (None, ("message.sent",), ["message.sent"] * 3),
        (None, ("message.sent", "member.added"), ["message.sent"] * 3),
        (2, ("message.sent",), ["message.sent"]),
    ],
)
async def test_only_what_is_chosen_comes_also_while_catching_up(
    database: Database, feed: Feed, team: Team, *, late: bool, task: int | None, kinds: tuple[str, ...],
    chosen: list[str],
) -> None:  # fmt: skip
    end = last(database.url, team)

    async def play() -> None:
        await write(database, team, 60)
        for given in (MessageNew(task=2, body="x"), MessageNew(task=1, body="x"), MessageNew(all=True, body="x")):
            await database.transact(messages.send, team.owner, team.squad, given)

    if late:
        await play()
    async with following(feed, team, end, task, kinds) as follower:
        if not late:
            await play()
        seen: list[Told] = []
        async with asyncio.timeout(PATIENCE):
            while len(seen) < len(chosen):
                seen += await follower.next(PATIENCE)
        assert [told.kind for told in seen] == chosen
        assert task is None or {told.task for told in seen} == {task}
        assert await follower.next(0.1) == []


async def test_an_event_is_one_thing_for_all_who_follow(database: Database, feed: Feed, team: Team) -> None:
    end = last(database.url, team)
    async with following(feed, team, end) as one, following(feed, team, end) as other:
        await write(database, team, 3)
        ours, theirs = await read(one, end + 3), await read(other, end + 3)
        assert all(mine is yours for mine, yours in zip(ours, theirs, strict=True))


async def test_a_hundred_followers_hold_no_connection(make_database: Callable[..., Database]) -> None:
    database = make_database(SQUAD_POOL_SIZE=3, SQUAD_READ_CONNECTIONS=2)
    team = await found(database, 1)
    async with feeding(database) as feed, AsyncExitStack() as stack:
        end = last(database.url, team)
        followers = [await stack.enter_async_context(following(feed, team)) for _ in range(100)]
        waiting = [asyncio.create_task(positions(follower, end + 5)) for follower in followers]
        for _ in range(5):
            await write(database, team)
        assert [await each for each in waiting] == [list(range(1, end + 6))] * 100
        idle = [asyncio.create_task(follower.next(PATIENCE)) for follower in followers]
        await asyncio.sleep(0)
        assert database.async_engine.pool.checkedout() <= 2 + 1  # type: ignore[attr-defined]  # the lane and the bell
        await write(database, team)
        assert [len(await each) for each in idle] == [1] * 100
    await database.close()


async def test_a_follower_outlives_a_cut_of_all_connections(database: Database, team: Team) -> None:
    async with relayed(database.url) as relay:
        through = Database(Settings(DATABASE_URL=relay.url()))
        async with feeding(through) as feed:
            end = last(database.url, team)
            async with following(feed, team) as follower:
                assert await positions(follower, end) == list(range(1, end + 1))
                for _ in range(3):
                    await write(database, team, 2)
                    relay.cut()
                    await write(database, team, 2)
                    end += 4
                    assert await positions(follower, end) == list(range(end - 3, end + 1))
        await through.close()


async def test_a_log_that_nobody_follows_any_more_is_forgotten(database: Database, feed: Feed, team: Team) -> None:
    async with following(feed, team):
        async with following(feed, team):
            assert len(feed._channels) == 1
        assert len(feed._channels) == 1
    assert feed._channels == {}
    await write(database, team)
    end = last(database.url, team)
    async with following(feed, team) as again:
        assert await positions(again, end) == list(range(1, end + 1))


async def test_many_logs_are_read_in_one_statement(database: Database) -> None:
    teams = [await found(database, 1, name=f"s{number}") for number in range(12)]
    async with relayed(database.url) as relay, AsyncExitStack() as stack:
        through = Database(Settings(DATABASE_URL=relay.url()))
        feed = Feed(through)  # one that doesn't run, so that nothing else is on the wire
        channels = [
            await stack.enter_async_context(feed.channel(await feed.require(team.owner, team.squad))) for team in teams
        ]
        ends = [channel.last for channel in channels]

        async def round_of_all() -> None:
            for team in teams:
                await write(database, team, 3)
            await feed._read(channels)

        assert await turns_of(relay, round_of_all) == 1
        assert [channel.last for channel in channels] == [end + 6 for end in ends]
        await through.close()


async def test_followers_end_when_the_process_does(feed: Feed, database: Database, team: Team) -> None:
    async with following(feed, team, last(database.url, team)) as follower:
        waiting = asyncio.create_task(follower.next(ENDLESS))
        await asyncio.sleep(0)
        feed.end()
        async with asyncio.timeout(PATIENCE):
            assert await waiting == []
