"""Whether two globs name a path in common, decided for all the names that there could be.

A glob begins at the root of a checkout. `*` stands for any characters of a part and `?` for one of them, `**` for any
number of parts; everything else is itself, also brackets and braces, as in `app/[id]/page.tsx`.

Whoever names a folder means all that is below it. A glob may name a folder if it ends with a slash, or if its last
part has no dot behind its first character: `src` and `.github` may, `a.py` and `*.md` don't. What the other glob goes
on below is a folder in any case, if one of the two parts is a plain name: `conf.d`, where the other one says
`conf.d/*.conf` or `*/*.conf`. `**` goes on below everything and tells nothing: with it, each file would be a folder.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

DEEP: Final = "**"


def overlap(one: str, other: str) -> bool:
    """Whether there could be a path that both name, or that lies below one that the other names."""
    first, second = _parts(one), _parts(other)
    stars = _bits(part == DEEP for part in second)
    steps = list(_steps(first, DEEP, _alike_in(second), stars, len(second)))
    places, arrived = steps[-1]
    folders = _bits(at > 0 and _folder(first[-1], second[at - 1]) for at in range(len(second)))
    return bool(places >> len(second) or arrived & folders) or any(
        arrived >> len(second) and _folder(second[-1], part)
        for part, (_, arrived) in zip(first, steps[1:], strict=False)
    )


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


def _folder(last: str, part: str) -> bool:
    """Whether a glob's last part is a folder since the other glob goes on below this part, which can be the same."""
    return not (_wild(last) and _wild(part))


def _wild(part: str) -> bool:
    return "*" in part or "?" in part


def _alike_in(parts: Sequence[str]) -> Callable[[str], int]:
    """Where in a glob another one's part can be the same name, as bits."""
    named = [(1 << at, part) for at, part in enumerate(parts) if part != DEEP]
    wild = [(bit, part) for bit, part in named if _wild(part)]
    plain: dict[str, int] = {}
    for bit, part in named:
        plain[part] = plain.get(part, 0) | bit

    def alike(part: str) -> int:
        if _wild(part):
            return sum(bit for bit, there in named if _alike(there, part))
        return plain.get(part, 0) | sum(bit for bit, there in wild if _alike(part, there))

    return alike


def _alike(one: str, other: str) -> bool:
    """Whether two parts can be the same name; one of them has wildcards."""
    if not _wild(other):
        one, other = other, one
    signs, stars = _signs(other)
    *_, (places, _) = _steps(one, "*", lambda sign: signs.get(sign, signs[""]), stars, len(other))
    return bool(places >> len(other))


@lru_cache(maxsize=256)
def _signs(part: str) -> tuple[dict[str, int], int]:
    """Where each character can be in a part with wildcards (`""`: every other character), and where its stars are."""
    anything = _bits(sign == "?" for sign in part)
    signs = {"": anything}
    for at, sign in enumerate(part):
        signs[sign] = signs.get(sign, anything) | 1 << at
    stars = signs.pop("*", 0) & ~anything
    return signs | {"?": (1 << len(part)) - 1 & ~stars}, stars


def _steps(
    one: Sequence[str], star: str, alike: Callable[[str], int], stars: int, size: int
) -> Iterator[tuple[int, int]]:
    """How many of other items can be used up together with none, one, two … of these: the product of two automata.

    They are bits, and there is no next step when none is set. Tells also those of them of which the last one is used
    up by the last one of these, and by no star.

    Args:
        one: what is read item by item.
        star: the item that stands for any number of items.
        alike: where among the other items is what can be the same as one of these, and no star.
        stars: where among them are stars; never two in a row.
        size: how many they are.
    """
    masks: dict[str, int] = {}
    places = 1 | (stars & 1) << 1
    yield places, 0
    for item in one:
        if item == star:
            places, arrived = (2 << size) - (places & -places), 0  # from the first one on, all
        else:
            if item not in masks:
                masks[item] = alike(item)
            arrived = (places & masks[item]) << 1
            places = arrived | places & stars
            places |= (places & stars) << 1
        yield places, arrived
        if not places:
            break


def _bits(values: Iterable[bool]) -> int:
    return sum(1 << at for at, value in enumerate(values) if value)
