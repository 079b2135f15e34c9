"""Every analysis finds what it should, leaves alone what it should, and survives any file."""

import os
from pathlib import Path

import pytest

from backend.demo import findings, functions, imports, source
from backend.demo.findings import Finding
from backend.demo.kinds import KINDS

MARK = "TO" + "DO"


def tree(folder: Path, **files: str | bytes) -> source.Tree:
    """Write files (`a__b` is a/b.py) and look at the folder."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py".replace("INIT", "__init__")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return source.find(folder)


def places(found: list[Finding]) -> list[str]:
    return [f"{one.file}:{one.line}" for one in found]


def test_what_is_not_the_folders_own_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    (tmp_path / "notes.txt").touch()
    os.mkfifo(tmp_path / "pipe.py")
    hidden = {".git__a": "", "env__a": "", "node_modules__a": "", "site-packages__a": ""}
    assert tree(tmp_path, own="", sub__own="", **hidden).files == ("own.py", "sub/own.py")


def test_names_are_counted_from_the_outermost_package(tmp_path: Path) -> None:
    seen = tree(tmp_path, src__app__INIT="", src__app__core__a="", scripts__run="")
    assert [m.name for m in seen.modules()] == ["scripts.run", "app", "app.core.a"]
    inside = source.find(tmp_path / "src" / "app")
    assert [m.name for m in inside.modules()] == ["app", "app.core.a"]


def test_broken_files_are_named_with_line_and_reason(tmp_path: Path) -> None:
    seen = tree(
        tmp_path,
        bom=b"\xef\xbb\xbfx = 1\r\n",
        declared="# coding: latin-1\nx = 'é'\n".encode("latin-1"),
        syntax="x = 1\ndef (:\n",
        bytes=b"x = 1\ny = '\xff'\n",
        coding="# coding: nonsense\n",
        codec="# coding: zlib_codec\n",
        nul=b"x = 1\n\0",
        deep="x = " + "-" * 100_000 + "1",
        chain="x = a" + ".b" * 100_000,
        digits="x = " + "1" * 10_000,
        warns="x = '\\d' is 'y'\n",
    )
    expected = ["bytes.py:2", "chain.py:1", "codec.py:1", "coding.py:1", "deep.py:1", "digits.py:1"]
    assert places(findings.unreadable(seen)) == [*expected, "nul.py:2", "syntax.py:2"]


def test_a_file_that_is_too_large_is_named_and_not_read(tmp_path: Path) -> None:
    seen = tree(tmp_path, big=b"#" * (source.MAX_FILE_BYTES + 1), small="")
    assert seen.files == ("small.py",)
    assert places(findings.unreadable(seen)) == ["big.py:1"]


def test_a_file_that_vanishes_and_a_folder_that_is_none(tmp_path: Path) -> None:
    seen = tree(tmp_path, gone="")
    (tmp_path / "gone.py").unlink()
    assert places(findings.unreadable(seen)) == ["gone.py:1"]
    assert places(findings.unreadable(source.find(tmp_path / "nowhere"))) == [".:1"]


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_ENTRIES"])
def test_a_folder_without_end_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(source, limit, 2)
    seen = tree(tmp_path, a="", b="", c="")
    assert len(seen.files) <= 2
    assert "not read" in findings.unreadable(seen)[0].what


def test_a_name_that_is_not_unicode_is_shown_all_the_same(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py")).write_text("def (")
    assert places(findings.unreadable(source.find(tmp_path))) == ["caf\\udce9.py:1"]


def test_every_analysis_survives_every_file(tmp_path: Path) -> None:
    nested = "def f():\n" + "".join(f"{' ' * (d + 1)}if x:\n" for d in range(60)) + " " * 61 + "pass\n"
    elifs = "def g(x):\n    if x: pass\n" + "    elif x: pass\n" * 800
    sums = "def h(x):\n" + "    x = 0xFFFFFFFF + 1j + 2.0\n" * 9 + "    return " + "x + " * 700 + "x\n"
    seen = tree(
        tmp_path,
        nested=nested,
        elifs=elifs,
        sums=sums,
        open="'''never closed\n#",
        slash="x = '\\",
        wall="#" * 1_000_000,
    )
    for kind in KINDS:
        kind.find(seen)
    assert [one.what for one in functions.complex_(seen)] == ["g", "f"]


def test_sizes_add_up_and_a_hash_in_a_string_is_no_comment(tmp_path: Path) -> None:
    seen = tree(tmp_path, p__a='"""Words."""\n\n# more\nx = "# none"  # some\n', p__b="y = '''\n# none\n'''\n")
    numbers = {one.file: one.numbers for one in findings.sizes(seen)}
    assert numbers == {"./": (7, 4, 33), "p/": (7, 4, 33), "p/a.py": (4, 1, 67), "p/b.py": (3, 3, 0)}


def test_open_ends_are_comments_that_begin_with_a_mark(tmp_path: Path) -> None:
    text = f"x = '# {MARK}: no'\n\n# {MARK}: mend | this\ny = 1  # {MARK.lower()} list\n# the {MARK}S of others\n"
    found = findings.open_ends(tree(tmp_path, a=text))
    assert found == [Finding("a.py", 3, f"{MARK}: mend | this")]


BLIND = """
def f():
    try: pass
    except: pass
    try: pass
    except Exception: pass
    try: pass
    except (ValueError, BaseException) as error: x = 1
    try: pass
    except: raise
    try: pass
    except Exception as error: print(error)
    try: pass
    except Exception: log.exception("said")
    try: pass
    except ValueError: pass
"""


def test_excepts_are_blind_when_nobody_hears_of_the_error(tmp_path: Path) -> None:
    found = findings.blind_excepts(tree(tmp_path, a=BLIND))
    assert [(one.line, one.what) for one in found] == [
        (4, "bare except in f"),
        (6, "except Exception in f"),
        (8, "except BaseException in f"),
    ]


PUBLIC = '''
class Shown:
    def said(self): """Yes."""
    def silent(self): pass
    @property
    def size(self): """Yes."""
    @size.setter
    def size(self, value): pass
    def _own(self): pass
def outer():
    """Yes."""
    def inner(): pass
class _Own:
    def hidden(self): pass
'''


def test_public_names_need_words(tmp_path: Path) -> None:
    seen = tree(tmp_path, a=PUBLIC, _own="def f(): pass", test_a="def f(): pass", b="__all__ = ['g']\ndef f(): pass")
    assert [one.what for one in functions.undocumented(seen)] == ["Shown", "Shown.silent"]


def test_functions_are_large_above_the_limit_only(tmp_path: Path) -> None:
    at, above = "    x = 1\n" * (functions.LARGE - 1), "    x = 1\n" * functions.LARGE
    found = functions.large(tree(tmp_path, a=f"def fits():\n{at}def large():\n{above}"))
    assert found == [Finding("a.py", functions.LARGE + 1, "large", (functions.LARGE + 1,))]


def test_complexity_counts_branches_and_an_elif_nests_no_deeper(tmp_path: Path) -> None:
    ladder = "def flat(x):\n    if x == 0: pass\n" + "".join(f"    elif x == {n}: pass\n" for n in range(10))
    deep = "def deep(x):\n" + "".join(f"{'    ' * n}while x:\n" for n in range(1, 6)) + "    " * 6 + "pass\n"
    plain = "def plain(x):\n    if x: pass\n    def inner():\n        for y in x: pass\n"
    found = functions.complex_(tree(tmp_path, a=ladder, b=deep, c=plain))
    assert [(one.what, one.numbers) for one in found] == [("flat", (12, 1)), ("deep", (6, 5))]


def test_self_is_no_parameter(tmp_path: Path) -> None:
    fits, many = "self, a, b, c, d, e, f, g", "self, a, b, c, d, e, f, /, g, *, h"
    text = f"class A:\n    def fits({fits}): pass\n    def many({many}): pass"
    assert functions.parameters(tree(tmp_path, a=text)) == [Finding("a.py", 3, "A.many", (8,))]


def test_mutable_defaults(tmp_path: Path) -> None:
    found = functions.mutable_defaults(tree(tmp_path, a="def f(a, b=[], c=(), *, d=None, e=dict(), g=1): pass"))
    assert [one.what for one in found] == ["f(b=…)", "f(e=…)"]


def test_copies_are_equal_but_for_layout_and_words(tmp_path: Path) -> None:
    body = ["a = 1", "b = a", "for c in range(b):", "    a += c", "b = 2", "return a"]
    one = "def one():\n" + "".join(f"    {line}\n" for line in body)
    two = 'def two():\n  """Other words."""\n' + "".join(f"  {line}  # why\n" for line in body)
    other = one.replace("b = 2", "b = 3")
    found = functions.copies(tree(tmp_path, a=one, b=two, c=other))
    assert found == [Finding("a.py", 1, "one is also at b.py:1", (6, 2))]


def test_a_cycle_is_found_whatever_the_form_of_its_imports(tmp_path: Path) -> None:
    seen = tree(tmp_path, p__INIT="", p__a="import os\nimport p.b", p__b="from . import c", p__c="from p.a import x")
    assert imports.cycles(seen) == [Finding("p/a.py", 2, "p.a → p.b → p.c → p.a", (3,))]


LATER = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from p import a
def late():
    from p import a
if __name__ == "__main__":
    from p import a
"""


def test_imports_that_run_later_or_never_close_no_cycle(tmp_path: Path) -> None:
    assert not imports.cycles(tree(tmp_path, p__INIT="from p import a", p__a="from p import b", p__b=LATER))


def test_a_script_finds_its_neighbour_and_a_namesake_of_the_library_is_none(tmp_path: Path) -> None:
    seen = tree(tmp_path, s__a="import b", s__b="import a", p__INIT="", p__json="import json", p__json2="import json")
    assert [one.what for one in imports.cycles(seen)] == ["s.a → s.b → s.a"]


def test_components_of_a_long_chain_need_no_recursion() -> None:
    chain = {str(n): {str((n + 1) % 50_000): 1} for n in range(50_000)}
    assert [len(component) for component in imports.components(chain)] == [50_000]
    del chain["7"]["8"]
    assert imports.components(chain) == []


UNUSED = """
from __future__ import annotations
import os, sys
import json as js
import re as re
import a.b
from x import used, unused, listed, quoted, taken, dotted
from x import excused  # noqa: F401
from _m import offered
try:
    import maybe
except ImportError:
    pass
__all__ = ["listed"]
def f(x: "quoted") -> None: return used(sys)
"""


def test_unused_imports_are_those_without_any_doubt(tmp_path: Path) -> None:
    seen = tree(tmp_path, m=UNUSED, other="import m\nfrom m import taken\nm.dotted(taken)", p__INIT="import os")
    assert [one.what for one in imports.unused(seen)] == ["os", "json as js", "a.b", "unused from x"]
