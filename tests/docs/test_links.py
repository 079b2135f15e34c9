"""Every link from a document to a file, or to a heading, leads there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_guides import GUIDES, REPOSITORY

DOCUMENTS = (REPOSITORY / "README.md", *GUIDES, *sorted((REPOSITORY / "docs").glob("*.md")))
FENCED = re.compile(r"^\s*(`{3,}|~{3,}).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return FENCED.sub("", document.read_text("utf-8"))


def anchors(text: str) -> set[str]:
    """What the headings are called in links: in small letters, without punctuation, with - for spaces."""
    names: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(name)}(-\d+)?", known) is not None for known in names)
        names.append(f"{name}-{again}" if again else name)
    return set(names)


def astray(document: Path, text: str) -> Iterator[str]:
    """The links of a document that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        if "://" in name or name.startswith("mailto:"):
            continue
        target = document.parent / name if name else document
        there = text if target == document else prose(target) if target.suffix == ".md" and target.exists() else ""
        if not target.exists() or (anchor and anchor not in anchors(there)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_there(document: Path) -> None:
    assert list(astray(document, prose(document))) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    text = "# One thing\n## `a`: the *rest*\n## One thing\n"
    assert anchors(text) == {"one-thing", "a-the-rest", "one-thing-1"}
    right = "[](#one-thing) [](mcp.md#the-bridge) [](../README.md) [](https://example.com/#x) [](demo.svg)"
    wrong = "[](#two) [](mcp.md#two) [](gone.md) [](gone.md#two) [](demo.svg#two)"
    document = REPOSITORY / "docs" / "api.md"
    assert list(astray(document, text + right)) == []
    assert list(astray(document, text + wrong)) == re.findall(r"\((.+?)\)", wrong)
