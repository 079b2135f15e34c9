"""Whether two globs name a path in common, decided for all the names that there could be.

A glob begins at the root of a checkout. `*` stands for any characters of a part and `?` for one of them, `**` for any
number of parts; everything else is itself, also brackets and braces, as in `app/[id]/page.tsx`.

Whoever names a folder means all that is below it. A glob may name a folder if it ends with a slash, or if its last
part has no dot behind its first character: `src` and `.github` may, `a.py` and `*.md` don't. One that the other glob
goes on below by its name is a folder in any case: `conf.d`, where the other one says `conf.d/*.conf`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

DEEP: Final = "**"
WILD: Final = ("*", "?")


def overlap(one: str, other: str) -> bool:
    """Whether there could be a path that both name, or that lies below one that the other names."""
    first, second = _parts(one), _parts(other)
    places, arrived = _places(first, second, DEEP, _alike)
    if places >> len(second) or arrived & _folders(second):
        return True
    _, arrived = _places(second, first, DEEP, _alike)
    return bool(arrived & _folders(first))


@lru_cache(maxsize=4096)
def _parts(glob: str) -> tuple[str, ...]:
    """A glob's parts, with `**` behind what may be a folder; no wildcard twice in a row."""
    *parts, last = glob.split("/")
    parts += [last, DEEP] if last and "." not in last[1:] else [last or DEEP]
    return tuple(
        part if part == DEEP else re.sub(r"\*+", "*", part)
        for at, part in enumerate(parts)
        if not part == DEEP == (parts[at - 1] if at else "")
    )


def _folders(parts: Sequence[str]) -> int:
    """Behind which parts something goes on below a name, as bits."""
    return _bits(at > 0 and not any(wild in parts[at - 1] for wild in WILD) for at in range(len(parts)))


def _alike(one: str, other: str) -> bool:
    """Whether two parts can be the same name."""
    if not any(wild in part for wild in WILD for part in (one, other)):
        return one == other
    places, _ = _places(one, other, "*", lambda a, b: a == b or "?" in (a, b))
    return bool(places >> len(other))


def _places(one: Sequence[str], other: Sequence[str], star: str, alike: Callable[[str, str], bool]) -> tuple[int, int]:
    """How many items of `other` can be used up together with all of `one`, as bits: the product of two automata.

    Answers also those of them of which the last one is used up by the last one of `one`, and by no star.

    Args:
        one: what is read item by item.
        other: where one may be in it, all at once; without two stars in a row.
        star: the item that stands for any number of items.
        alike: whether two other items can be the same.
    """
    stars = _bits(item == star for item in other)
    masks: dict[str, int] = {}
    places, arrived = 1 | (stars & 1) << 1, 0
    for item in one:
        if item == star:
            places, arrived = (2 << len(other)) - (places & -places), 0  # from the first one on, all
        else:
            if item not in masks:
                masks[item] = _bits(there != star and alike(item, there) for there in other)
            arrived = (places & masks[item]) << 1
            places = arrived | places & stars
            places |= (places & stars) << 1
        if not places:
            break
    return places, arrived


def _bits(values: Iterable[bool]) -> int:
    return sum(1 << at for at, value in enumerate(values) if value)
