"""Where the tasks of a graph stand: layers from left to right, each task behind all that it waits for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Final

WIDTH, HEIGHT = 200, 52
ACROSS, DOWN = 64, 14  # between layers, between nodes
MARGIN: Final = 12
SWEEPS: Final = 8  # how often the layers are put in order
ROW: Final = 5  # tasks without any edge, side by side
BENDS: Final = 5_000  # places that lines get between tasks, so that no board takes long to draw

Place = tuple[int, int]
Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """The upper left corner of each task, the line of each edge, and how much room that takes."""

    places: dict[int, Place]
    lines: dict[Edge, str]
    width: int
    height: int


def laid_out(numbers: Iterable[int], edges: Iterable[Edge]) -> Layout:
    """Lay tasks out.

    Args:
        numbers: of the tasks.
        edges: from each task to one that waits for it.
    """
    edges = sorted(set(edges))
    joined = {number for edge in edges for number in edge}
    depth = _depths(joined, edges)
    chains = _chains(edges, depth)
    layers = _ordered(depth, chains.values())
    places = {
        number: (MARGIN + column * (WIDTH + ACROSS), MARGIN + row * (HEIGHT + DOWN))
        for column, layer in enumerate(layers)
        for row, number in enumerate(layer)
    }
    lines = {edge: _line([places[number] for number in chain]) for edge, chain in chains.items()}
    below = max((y for _, y in places.values()), default=-HEIGHT - 3 * DOWN) + HEIGHT + 3 * DOWN
    places = {number: place for number, place in places.items() if number in joined}
    for index, number in enumerate(number for number in numbers if number not in joined):
        row, column = divmod(index, ROW)
        places[number] = (MARGIN + column * (WIDTH + DOWN), max(MARGIN, below) + row * (HEIGHT + DOWN))
    return Layout(
        places,
        lines,
        max((x for x, _ in places.values()), default=0) + WIDTH + MARGIN,
        max((y for _, y in places.values()), default=0) + HEIGHT + MARGIN,
    )


def _depths(numbers: Iterable[int], edges: Iterable[Edge]) -> dict[int, int]:
    """Each task one layer behind the last of those that it waits for: by the longest path to it."""
    before: dict[int, set[int]] = {number: set() for number in numbers}
    for first, second in edges:
        before[second].add(first)
    depth: dict[int, int] = {}
    waiting = dict(before)
    while waiting:
        # Nobody waits in a circle, but ended tasks may stand in one; it is opened at its lowest number.
        ready = [number for number, others in waiting.items() if others <= depth.keys()] or [min(waiting)]
        for number in ready:
            depth[number] = 1 + max((depth[other] for other in before[number] if other in depth), default=-1)
            del waiting[number]
    return depth


def _chains(edges: Iterable[Edge], depth: dict[int, int]) -> dict[Edge, list[int]]:
    """Each edge as a chain of places, one in every layer that it crosses; those between have numbers below zero.

    Where there is no room for so many, the longest edges go straight.
    """
    free = count(-1, -1)
    room = BENDS
    chains: dict[Edge, list[int]] = {}
    for first, second in sorted(edges, key=lambda edge: depth[edge[1]] - depth[edge[0]]):
        crossed = range(depth[first] + 1, depth[second])
        between = {next(free): layer for layer in crossed} if len(crossed) <= room else {}
        room -= len(between)
        depth |= between
        chains[first, second] = [first, *between, second]
    return chains


def _ordered(depth: Mapping[int, int], chains: Iterable[list[int]]) -> list[list[int]]:
    """The layers, each by where the neighbours stand, to and fro, so that few edges cross."""
    behind: dict[int, list[int]] = {number: [] for number in depth}
    before: dict[int, list[int]] = {number: [] for number in depth}
    for chain in chains:
        for first, second in pairwise(chain):
            before[second].append(first)
            behind[first].append(second)
    layers: list[list[int]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for number in sorted(depth, key=abs):
        layers[depth[number]].append(number)
    place = {number: row for layer in layers for row, number in enumerate(layer)}

    def middle(near: list[int], number: int) -> float:
        return sum(place[other] for other in near) / len(near) if near else place[number]

    for sweep in range(SWEEPS):
        neighbours = behind if sweep % 2 else before
        for layer in reversed(layers) if sweep % 2 else layers:
            wanted = {number: middle(neighbours[number], number) for number in layer}
            layer.sort(key=wanted.__getitem__)
            place.update((number, row) for row, number in enumerate(layer))
    return layers


def _line(places: list[Place]) -> str:
    """From the right side of the first to the left side of the last, straight through those between."""
    x, y = places[0][0] + WIDTH, places[0][1] + HEIGHT // 2
    path = [f"M{x} {y}"]
    for left, top in places[1:]:
        middle = top + HEIGHT // 2
        bend = ACROSS // 2 if left > x else ACROSS
        path.append(f"C{x + bend} {y} {left - bend} {middle} {left} {middle}")
        if (left, top) != places[-1]:
            path.append(f"H{left + WIDTH}")
        x, y = left + WIDTH, middle
    return "".join(path)
