"""Times as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.interfaces.dashboard import words

NOW = datetime(2026, 11, 26, 9, 1, 12, 345_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (119.9, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (172_799, "47 h"),
     (172_800, "2 days"), (-5, "0 s")],
)  # fmt: skip
async def test_how_long_ago_is_said_as_the_database_says_it(async_db: AsyncSession, seconds: float, said: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == said
    half = "SELECT ago(clock_timestamp() - make_interval(secs => CAST(:s AS float8)))"
    if seconds % 60 == 0:  # the database's clock goes on meanwhile
        assert await async_db.scalar(text(half), {"s": seconds}) == said


def test_leases_times_and_json() -> None:
    assert words.left(NOW + timedelta(seconds=42.7), NOW) == "42 s left"
    assert words.left(NOW, NOW) == "lease over"
    assert words.lasted(NOW, NOW + timedelta(minutes=3), NOW) == "3 min"
    assert words.lasted(NOW - timedelta(hours=5), None, NOW) == "5 h"
    assert (words.iso(NOW), words.clock(NOW)) == ("2026-11-26T09:01:12.345Z", "2026-11-26 09:01:12")
    assert [words.pretty(value) for value in ("ä", None, {"ä": [1]})] == ["ä", "null", '{\n  "ä": [\n    1\n  ]\n}']
