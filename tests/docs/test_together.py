"""docs/together.md, typed in order: commands as a person types them, tool calls as an agent's client sends them."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Asq, asq, home, server, start  # noqa: F401  (fixtures)
from tests.docs.test_api import request
from tests.docs.test_guides import REPOSITORY, blocks
from tests.interfaces.mcp.conftest import joined

DOCUMENT = REPOSITORY / "docs" / "together.md"
BLOCKS = list(blocks(DOCUMENT, DOCUMENT.read_text("utf-8")))
TOKEN = re.compile(r"(\w+)=\$\(asq (.*) \| head -n 1\)")


def typed() -> Iterator[tuple[str, str]]:
    """What is typed, and what is shown of the answer."""
    for block in BLOCKS:
        if block.language == "console":
            for part in re.split(r"(?m)^\$ ", block.code)[1:]:
                command, _, shown = part.partition("\n")
                yield command, shown.strip()


def says(answer: str, shown: str) -> bool:
    """Whether an answer has all that is shown of it, in this order; what stands for more may be anything."""
    wanted = [re.escape("".join(part.split())) for part in shown.split("…")]
    return re.search(".*".join(wanted), "".join(answer.split()), re.DOTALL) is not None


async def called(url: str, token: str, tool: str, arguments: str) -> str:
    """What a tool answers an agent, as JSON."""
    async with joined(url, token) as agent:
        result = await agent.result(tool, **json.loads(arguments))
        return json.dumps(result.structured_content)


def run(asq: Asq, command: str) -> str:  # noqa: F811  (a fixture)
    """What commands say that are typed in a row."""
    said = ""
    for each in command.split(" && "):
        name, *arguments = shlex.split(each)
        done: subprocess.CompletedProcess[str] = asq(*arguments)
        assert (name, done.returncode) == ("asq", 0), (each, done.stdout, done.stderr)
        said = done.stdout + done.stderr
    return said


async def test_every_line_answers_as_it_is_shown(server: str, asq: Asq) -> None:  # noqa: F811  (fixtures)
    tokens: dict[str, str] = {}
    for command, shown in typed():
        if found := TOKEN.fullmatch(command):
            tokens[found[1]] = run(asq, f"asq {found[2]}").splitlines()[0]
        elif command.startswith("call "):
            _, who, tool, arguments = shlex.split(command)
            answer = await called(server, tokens[who.removeprefix("$")], tool, arguments)
            assert says(answer, shown), (command, answer)
        else:
            assert says(said := run(asq, command), shown), (command, said)
    assert len(tokens) == 3


async def test_the_function_sends_a_call_that_needs_no_session(server: str, asq: Asq) -> None:  # noqa: F811  (fixtures)
    run(asq, "asq squad create webshop && asq use webshop && asq member add ada")
    token = run(asq, "asq member token ada").splitlines()[0]
    (code,) = (block.code for block in BLOCKS if block.language == "sh")
    line = next(line.strip() for line in code.splitlines() if "curl" in line)
    values = {'"Bearer $1"': f"Bearer {token}", "$1": token, "'\"$2\"'": "whoami", "'\"$3\"'": "{}"}
    for name, value in values.items():
        line = line.replace(name, value)
    async with httpx.AsyncClient() as browser:
        answer = await browser.send(request(line.replace("http://127.0.0.1:8000", server), "", "", {}))
    assert (answer.status_code, '"name":"ada"' in answer.text) == (200, True), answer.text


def test_the_clients_file_names_the_door() -> None:
    (code,) = (block.code for block in BLOCKS if block.language == "json")
    (entry,) = json.loads(code)["mcpServers"].values()
    assert entry["url"].endswith("/mcp")
    assert entry["headers"]["Authorization"].startswith("Bearer sqm_")


def test_every_block_is_read() -> None:
    assert {block.language for block in BLOCKS} == {"console", "sh", "json"}
    assert len(list(typed())) > 25


@pytest.mark.parametrize("shown", ['… "claim": "1/2" …', '… "kind": "work" … "claim": "1/1" …', "claim 1/1"])
def test_an_answer_that_is_another_is_noticed(shown: str) -> None:
    answer: Any = {"claim": "1/1", "kind": "work"}
    assert says(json.dumps(answer), '… "claim": "1/1", "kind": "work" …')
    assert not says(json.dumps(answer), shown)
