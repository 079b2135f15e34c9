"""Where a graph's tasks stand."""

from itertools import pairwise

import pytest

from backend.interfaces.dashboard import layout
from backend.interfaces.dashboard.layout import HEIGHT, WIDTH, Layout, laid_out


def column(drawn: Layout, number: int) -> int:
    return (drawn.places[number][0] - layout.MARGIN) // (WIDTH + layout.ACROSS)


def overlaps(drawn: Layout) -> list[tuple[int, int]]:
    """Tasks that lie on one another."""
    places = list(drawn.places.items())
    return [
        (one, other)
        for index, (one, (x, y)) in enumerate(places)
        for other, (x2, y2) in places[index + 1 :]
        if abs(x - x2) < WIDTH and abs(y - y2) < HEIGHT
    ]


def test_each_stands_behind_all_that_it_waits_for() -> None:
    drawn = laid_out(range(1, 6), [(1, 2), (2, 3), (1, 3), (4, 3)])
    assert [column(drawn, number) for number in (1, 2, 3, 4)] == [0, 1, 2, 0]
    assert overlaps(drawn) == []


def test_nothing_overlaps_and_all_fits() -> None:
    numbers = range(1, 101)
    edges = [(number, number * 2 + step) for number in range(1, 40) for step in (0, 1)] + [(1, 79), (2, 77)]
    drawn = laid_out(numbers, edges)
    assert set(drawn.places) == set(numbers)
    assert set(drawn.lines) == set(edges)
    assert overlaps(drawn) == []
    assert all(0 <= x <= drawn.width - WIDTH and 0 <= y <= drawn.height - HEIGHT for x, y in drawn.places.values())
    assert all(column(drawn, first) < column(drawn, second) for first, second in edges)


def test_tasks_on_one_another_are_found() -> None:
    assert overlaps(Layout({1: (0, 0), 2: (WIDTH - 1, HEIGHT - 1), 3: (WIDTH, 0)}, {}, 0, 0)) == [(1, 2), (2, 3)]


def test_a_circle_of_ended_tasks_is_drawn_too() -> None:
    drawn = laid_out([1, 2, 3], list(pairwise([1, 2, 3, 1])))
    assert len(drawn.lines) == 3
    assert overlaps(drawn) == []


@pytest.mark.parametrize("numbers", [[], [1], list(range(1, 30))])
def test_without_edges_they_stand_in_rows(numbers: list[int]) -> None:
    drawn = laid_out(numbers, [])
    assert list(drawn.places) == numbers
    assert overlaps(drawn) == []
    assert drawn.width <= layout.ROW * (WIDTH + layout.DOWN) + 2 * layout.MARGIN


def test_a_board_full_of_edges_has_no_more_bends_than_there_is_room_for() -> None:
    edges = [(other, number) for number in range(1, 251) for other in range(max(1, number - 100), number)]
    drawn = laid_out(range(1, 251), edges)
    assert set(drawn.lines) == set(edges)
    assert 0 < sum(line.count("C") - 1 for line in drawn.lines.values()) <= layout.BENDS
    assert drawn.lines[1, 101].count("C") == 1  # the longest ones go straight
    assert drawn.lines[1, 3].count("C") == 2
