"""The arithmetic: rounds in which the sides take turns, medians with quartiles, ratios pair by pair, targets."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """The middle half of some figures.

    Args:
        median: half of them are smaller.
        low: a quarter of them are smaller.
        high: a quarter of them are larger.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """How a row stands to what it is to reach.

    Args:
        against: the side that ours is compared with.
        at_least: the ratio to reach.
        ratio: the median that was measured; None if the other side gave no answer at all.
        missed_by: 0 if reached, else the part of the target that is lacking.
    """

    against: str
    at_least: float
    ratio: float | None
    missed_by: float

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.missed_by == 0


@dataclass
class Row:
    """One line of the table.

    Args:
        name: short, for `--only` and the JSON.
        title: what was measured.
        unit: of its figures.
        rounds: each side's figures, one a round.
        targets: what ours is to reach against which side, as a ratio.
        lower_is_better: as for CPU seconds; ratios are turned round, so that more is always better.
        held_by: sides at which the load generator was the limit.
        notes: what a side's figure needs said, such as another number of clients.
    """

    name: str
    title: str
    unit: str
    rounds: dict[str, list[float]]
    targets: dict[str, float] = field(default_factory=dict)
    lower_is_better: bool = False
    held_by: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def spread(self, side: str) -> Spread | None:
        """A side's figure."""
        return spread(self.rounds.get(side, []))

    def ratio(self, side: str) -> Spread | None:
        """Ours to a side, each round for itself; None if that side gave nothing in most of them."""
        ours, theirs = self.rounds.get("ours", []), self.rounds.get(side, [])
        if not theirs or statistics.median(theirs) == 0:
            return None
        return spread(pairwise(theirs, ours) if self.lower_is_better else pairwise(ours, theirs))

    def verdicts(self) -> list[Verdict]:
        """How it stands to each of its targets."""
        return [
            verdict(side, at_least, self.ratio(side)) for side, at_least in self.targets.items() if side in self.rounds
        ]


def spread(figures: Sequence[float]) -> Spread | None:
    """Median and quartiles; None of no figures."""
    if not figures:
        return None
    if len(figures) == 1:
        return Spread(figures[0], figures[0], figures[0])
    low, median, high = statistics.quantiles(figures, n=4, method="inclusive")
    return Spread(median, low, high)


def pairwise(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The ratio of each round; a round in which the other side gave nothing has none."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True) if other > 0]


def verdict(against: str, at_least: float, ratio: Spread | None) -> Verdict:
    """A target, and whether it is reached. Whoever answers nothing at all is beaten."""
    if ratio is None:
        return Verdict(against, at_least, None, 0)
    return Verdict(against, at_least, ratio.median, max(0.0, 1 - ratio.median / at_least))


def rotated(sides: Sequence[str], by: int) -> list[str]:
    """The sides in turn, beginning with another one each round."""
    start = by % len(sides)
    return [*sides[start:], *sides[:start]]


def interleaved(sides: Sequence[str], rounds: int, measure: Callable[[str], float]) -> dict[str, list[float]]:
    """Each side's figure of each round."""
    figures: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in rotated(sides, number):
            figures[side].append(measure(side))
    return figures


def best(levels: Mapping[int, Sequence[float]]) -> int:
    """The number of clients at which a side's median is highest."""
    return max(levels, key=lambda level: statistics.median(levels[level]))
