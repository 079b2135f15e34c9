"""Whether two globs name a path in common: held against all the paths that there are over a tiny alphabet."""

import itertools
import re
from collections.abc import Callable
from functools import lru_cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentsquad.schemas import limits
from backend.operations.tasks import globs
from backend.operations.tasks.globs import overlap

DEPTH = 6  # of the longest path that two globs of three parts may need
SHALLOW = ("a", "a.b", "*", "*.b", "?.b", "**")
DEEP_GLOB = st.lists(st.sampled_from(SHALLOW), min_size=1, max_size=3).map("/".join)


def part(size: int) -> st.SearchStrategy[str]:
    """A part of at most so many characters."""
    drawn = st.text(alphabet="ab.*?", min_size=1, max_size=size)
    return drawn.filter(lambda part: part not in (".", "..", "**"))


PART_GLOB = st.one_of(part(3), st.tuples(part(2), part(2)).map("/".join))
FEW = ("a", "a.b", "ab.b", "b.b")
NAMES = tuple("".join(word) for size in range(1, 6) for word in itertools.product("ab.", repeat=size))
DEEP = tuple("/".join(parts) for depth in range(1, DEPTH + 1) for parts in itertools.product(FEW, repeat=depth))
FLAT = (*NAMES, *(f"{name}/{below}" for name in NAMES[:39] for below in NAMES[:39]))


def matching(glob: str) -> str:
    """A glob as a regular expression, the way that textbooks make it."""
    one = {"*": "[^/]*", "?": "[^/]"}
    parts = [
        "(?:[^/]+/)*" if part == "**" else "".join(one.get(sign, re.escape(sign)) for sign in part) + "/"
        for part in glob.split("/")
        if part
    ]
    return "".join(parts)


@lru_cache(maxsize=1024)
def named(glob: str, paths: tuple[str, ...], *, below: bool) -> frozenset[str]:
    """The paths that a glob names; and those below them, if so wanted."""
    pattern = re.compile(matching(glob) + ("(?:[^/]+/)*" if below else ""))
    return frozenset(path for path in paths if pattern.fullmatch(f"{path}/"))


def everything(glob: str, paths: tuple[str, ...]) -> frozenset[str]:
    last = glob.rpartition("/")[2]
    return named(glob, paths, below="." not in last[1:])


def wild(part: str) -> bool:
    return bool(set(part) & set("*?"))


def folders(glob: str, other: str, paths: tuple[str, ...]) -> frozenset[str]:
    """What a glob names, and the other one on its way by a part of its own, if one of the two does by a whole name."""
    parts = [part for part in other.split("/") if part]
    ways = [
        "/".join(parts[:size])
        for size in range(1, len(parts))
        if parts[size - 1] != "**" and not (wild(parts[size - 1]) and wild(glob.rpartition("/")[2]))
    ]
    on = frozenset[str]().union(*(named(way, paths, below=False) for way in ways))
    return named(glob, paths, below=False) & on


def searched(one: str, other: str, paths: tuple[str, ...]) -> bool:
    return bool(
        everything(one, paths) & everything(other, paths) or folders(one, other, paths) or folders(other, one, paths)
    )


@given(DEEP_GLOB, DEEP_GLOB)
@example("a/**/*.b", "a/a/a/a.b.a")
@example("**/a.b", "a/a.b/a")
@example("a/a.b", "a/*/**/a.b")
@example("a.b/a/a.b", "**/*/a/*/b.b")
def test_over_folders_it_finds_what_a_search_finds(one: str, other: str) -> None:
    assert overlap(one, other) == overlap(other, one) == searched(one, other, DEEP)


@given(PART_GLOB, PART_GLOB)
@example("a*b", "*ab")
@example("a?", "?b*")
@example("a.b", "a.b/a")
@example("*.b", "a.b/a")
def test_over_names_it_finds_what_a_search_finds(one: str, other: str) -> None:
    assert overlap(one, other) == overlap(other, one) == searched(one, other, FLAT)


@pytest.mark.parametrize(
    ("name", "wrong", "case"),
    [
        ("_folder", lambda _, __: False, ("a.b", "a.b/a")),
        ("_folder", lambda _, part: not globs._wild(part), ("a.b", "*/a.b")),
        ("_folder", lambda _, __: True, ("*.b", "*/a.b")),
        ("_alike", lambda one, other: one == other, ("*.b", "a.b")),
        ("_parts", lambda glob: tuple(glob.split("/")), ("a", "**/a.b")),
    ],
)
def test_the_search_finds_a_wrong_answer(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: Callable[..., object], case: tuple[str, str]
) -> None:
    assert overlap(*case) == searched(*case, DEEP)
    monkeypatch.setattr(globs, name, wrong)
    assert overlap(*case) != searched(*case, DEEP)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("src", "src/a.py", True),
        ("src/", "src/a/b/c.py", True),
        ("src/*.py", "src/a.ts", False),
        ("src/**/*.py", "src/a/b/c.py", True),
        ("src/**/*.py", "src/c.py", True),
        ("src/**/*.py", "src/a/b/c.js", False),
        ("src/**/x.py", "src", True),
        ("**/*.md", "src/cart.ts", False),
        ("**/*.md", "src", True),
        ("**/*.md", "README.md", True),
        ("*.md", "docs/api.md", False),
        ("docs/*", "docs/deep/api.md", True),
        ("**", "anything/at.all", True),
        ("src", "srcs/a.py", False),
        ("a/b", "a/c", False),
        ("conf.d", "conf.d/web.conf", True),
        ("etc/conf.d/*.conf", "**/conf.d", True),
        ("src/MyApp.Web", "src/*/Program.cs", True),
        ("src/MyApp.Web", "src/MyApp.*/**/*.cs", True),
        ("src/MyApp.Web/", "src/**/*.cs", True),
        ("src/MyApp.Web", "src/**/*.cs", False),  # as src/a.py
        ("packages/react.js", "packages/*/src/**", True),
        ("packages/react.js", "packages/????????/src/**", True),
        ("packages/react.js", "packages/???????/src/**", False),
        ("packages/react.js", "apps/*/src/**", False),
        ("packages/*.js", "packages/*/src/**", False),  # as src/*.py and src/*/test_*.py
        ("README.md", "**/*.py", False),
        ("README.md", "docs/*/api.md", False),
        ("src/a.py", "src/**/*.cs", False),
        ("app/[id]/page.tsx", "app/i/page.tsx", False),
        ("app/[id]/page.tsx", "app/*/page.tsx", True),
        ("{a,b}.py", "a.py", False),
        ("a\\b.py", "a/b.py", False),
        ("test_*", "test_cart.py", True),
        ("a***b.py", "axb.py", True),
        ("***", "a", True),
        ("Übung/*.py", "Übung/ä.py", True),
        ("A.py", "a.py", False),
        ("\U0001f980/?.py", "*/\U0001f980.py", True),
    ],
)
def test_what_people_mean(one: str, other: str, same: bool) -> None:
    assert overlap(one, other) == overlap(other, one) == same


@given(st.text(alphabet="ab/*?.[]", min_size=1, max_size=12), st.text(alphabet="ab/*?.", min_size=1, max_size=12))
def test_whatever_it_is_it_overlaps_with_itself_and_with_everything(one: str, other: str) -> None:
    assert overlap(one, one)
    assert overlap(one, "**")
    assert overlap(one, other) == overlap(other, one)


def longest(*begin: str) -> str:
    """A glob as long as may be, whose other parts are names that stand in it once."""
    return "/".join([*begin, *(chr(0x4E00 + n) for n in range(limits.PATH))])[: limits.PATH]


@pytest.mark.parametrize("end", ["*", "?", "*?"])
def test_plain_names_are_not_compared_one_by_one(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Comparing two globs holds up everybody: all that takes time is bounded by the wildcards that one may hold."""
    compared: list[str] = []
    alike = globs._alike

    def counted(one: str, other: str) -> bool:
        compared.append(one)
        return alike(one, other)

    monkeypatch.setattr(globs, "_alike", counted)
    begin = [f"{chr(0x5E00 + n)}{end}" for n in range(limits.WILDCARDS - 1)]
    one, other = longest("**", *begin), longest("**", *(f"{part}*" for part in begin))
    assert overlap(one, other)
    assert 0 < len(compared) <= 2 * limits.WILDCARDS * (limits.PATH // 2)
    compared.clear()
    assert overlap(longest("**"), longest("**"))
    assert compared == []


@pytest.mark.parametrize("piece", ["a", "*a", "?", "a/", "**/a/", "*a*/", "**/*a/", "ab?*/"])
def test_the_longest_ones_come_to_an_end(piece: str) -> None:
    one = piece * (limits.PATH // len(piece))
    assert overlap(one, one)
    assert not overlap(f"{one}/x.py", f"{one}/y.py") or "*" in piece or "?" in piece
