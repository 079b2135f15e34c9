import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import psycopg2
import pytest

from benchmarks import check, machine, measure, picture, rows, table
from benchmarks.bench import QUICK, Bench, bench
from benchmarks.load import complete
from benchmarks.measure import Row
from benchmarks.processes import Child
from benchmarks.rows import Findings


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    with bench(QUICK) as made:
        yield made


def a_row(**sides: list[float]) -> Row:
    return Row("select", "SELECT by key, one by one", "reads/s", sides, {"b0": 4.0, "b1": 2.0})


def test_ratios_are_made_round_by_round() -> None:
    row = a_row(ours=[10.0, 20.0, 90.0], b0=[5.0, 4.0, 30.0])
    assert row.ratio("b0") == measure.Spread(3.0, 2.5, 4.0)  # of 2, 5 and 3; the medians' own ratio would be 4
    assert row.spread("ours") == measure.Spread(20.0, 15.0, 55.0)


def test_where_less_is_better_a_ratio_is_turned_round() -> None:
    row = Row("cpu", "CPU", "s", {"ours": [1.0, 2.0], "b0": [4.0, 8.0]}, lower_is_better=True)
    assert row.ratio("b0") == measure.Spread(4.0, 4.0, 4.0)


def test_a_round_without_an_answer_has_no_ratio() -> None:
    assert measure.pairwise([10.0, 10.0], [0.0, 5.0]) == [2.0]
    hung = a_row(ours=[10.0, 10.0, 10.0], b0=[0.0, 5.0, 0.0])
    assert hung.ratio("b0") is None
    assert hung.verdicts()[0].reached


def test_a_missed_target_says_by_how_much() -> None:
    reached, missed = a_row(ours=[12.0], b0=[3.0], b1=[8.0]).verdicts()
    assert table.verdict(reached) == "4 x B0: reached"
    assert table.verdict(missed) == "2 x B1: missed by 25.0%"


def test_the_sides_take_turns() -> None:
    order: list[str] = []

    def turn(side: str) -> float:
        order.append(side)
        return float(len(order))

    figures = measure.interleaved(["a", "b", "c"], 3, turn)
    assert "".join(order) == "abcbcacab"
    assert figures == {"a": [1.0, 6.0, 8.0], "b": [2.0, 4.0, 9.0], "c": [3.0, 5.0, 7.0]}


def test_the_best_number_of_clients_is_that_of_the_median() -> None:
    assert measure.best({1: [5.0, 5.0, 5.0], 16: [9.0, 9.0, 1.0], 64: [0.0, 0.0, 99.0]}) == 16


def test_answers_are_compared_by_their_meaning() -> None:
    ours, theirs = (
        '{"created_at": "2026-11-22T10:00:00+00:00", "id": 1}',
        '{"id":1,"created_at":"2026-11-22T10:00:00Z"}',
    )
    check.equal("GET", {"ours": check.meaning(ours), "b0": check.meaning(theirs)})
    with pytest.raises(check.UnequalError, match=r"ours answers .* b0 {'id': 2}"):
        check.equal("GET", {"ours": check.meaning(ours), "b0": check.meaning('{"id": 2}')})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nserver: x\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\nContent-Le", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
    ],
)
def test_the_load_generator_sees_where_an_answer_ends(data: bytes, *, expected: bool) -> None:
    assert complete(data) is expected


def test_the_writers_write(tmp_path: Path) -> None:
    row = a_row(
        b0=[1000.0, 1100.0], b1=[3000.0, 3100.0], b2=[500.0, 510.0], ours=[9000.0, 9900.0], limit=[9900.0, 9901.0]
    )
    row.held_by.append("limit")
    findings = Findings([row, a_row(b0=[0.0], ours=[1.0])], {1: 10_000.0, 64: 40_000.0}, {"ours": {64: (0.01, 0.02)}})
    described = machine.describe("18.6")
    text = table.text(findings, described, 2)
    assert "1,050" in text
    assert "9,900*" in text
    assert "9 [9, 9]" in text
    assert "4 x B0: reached" in text
    assert "| 4 x B0: reached<br>2 x B1: reached |" in table.markdown(findings, described, 2)
    document = json.loads(table.as_json(findings, described, 2))
    assert document["rows"][0]["sides"]["ours"]["rounds"] == [9000.0, 9900.0]
    assert document["machine"]["PostgreSQL"].startswith("18.6")
    assert picture.draw(findings.rows, tmp_path / "picture.svg")
    assert ET.parse(tmp_path / "picture.svg").getroot().tag.endswith("svg")
    assert not picture.draw([], tmp_path / "none.svg")


def test_all_sides_answer_alike_and_are_measured(made: Bench) -> None:
    findings = Findings()
    rows.direct(made, findings, print, lambda row: row == "select")
    (row,) = findings.rows
    assert set(row.rounds) == {"b0", "b1", "b2", "ours", "limit"}
    assert all(figure > 0 for figures in row.rounds.values() for figure in figures)


def test_all_servers_answer_alike(made: Bench) -> None:
    keyed = rows.servers(made, made.url)
    unlocked = rows.open_servers(made, keyed)["ours"]
    with made.serving({**keyed, "unlocked": unlocked}), made.load() as load:
        check.http(keyed, made.data.clients[:2], with_key=True)
        check.http({"b0": keyed["b0"], "ours": unlocked}, made.data.clients[:2], with_key=False)
        assert unlocked.get(unlocked.path + made.data.owner, "any")[0] == 200
        ours = keyed["ours"]
        got = load.ask(do="slice", path=ours.path, port=ours.port, clients=8, warm=0.0, seconds=1.0)
        assert got["rate"] > 0
        assert (got["refused"], got["hangs"]) == (0, False)


def test_the_network_delays_and_counts(made: Bench) -> None:
    with made.network(20.0) as proxy, closing(psycopg2.connect(made.slow_url)) as connection:
        connection.autocommit = True
        before, start = proxy.ask(), time.perf_counter()
        with connection.cursor() as cursor:
            for _ in range(5):
                cursor.execute("SELECT repeat('x', 100000)")
                assert cursor.fetchone()
        assert 0.1 <= time.perf_counter() - start < 0.5
        assert proxy.ask() - before == 5


def test_a_failure_in_another_process_is_told(made: Bench) -> None:
    with Child("load", extra=made.variables(made.url)) as load, pytest.raises(RuntimeError, match="ConnectionRefused"):
        load.ask(do="slice", path="/", port=1, clients=1, warm=0.0, seconds=0.1)
