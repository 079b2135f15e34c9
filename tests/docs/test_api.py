"""docs/api.md, typed in order against a running server."""

import re
import shlex
from pathlib import Path

import httpx
import pytest

from agentsquad.client import AsyncClient
from tests.cli.conftest import asq, client, home, server, start  # noqa: F401  (fixtures)

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
LINES = [
    line for block in re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) for line in block.splitlines()
]
CURL = [line for line in LINES if not line.startswith("export ")]


def request(line: str, url: str, key: str, files: dict[str, bytes]) -> httpx.Request:
    """What curl would send."""
    words = iter(shlex.split(line.replace("$S", url).replace("$KEY", key), comments=True))
    assert next(words) == "curl"
    address, method, headers = "", None, {}
    body: str | bytes | None = None
    for word in words:
        match word:
            case "-s":
                pass
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                body = next(words)
            case "-T":
                body = files[next(words)]
            case "-o":
                next(words)
            case _:
                address = word
    return httpx.Request(method or ("POST" if body else "GET"), address, headers=headers, content=body)


async def test_every_command_answers_as_it_says(client: AsyncClient, home: Path) -> None:  # noqa: F811  (fixtures)
    assert len(CURL) > 12
    key = (home / "key").read_text().strip()
    files: dict[str, bytes] = {}
    async with client, httpx.AsyncClient() as browser:
        for line in CURL:
            answer = await browser.send(request(line, client.url, key, files))
            refused = re.search(r"# (\d+) (\w+)$", line)
            if refused:
                assert (answer.status_code, answer.json()["code"]) == (int(refused[1]), refused[2]), line
            else:
                assert answer.is_success, (line, answer.text)
            if saved := re.search(r"-o (\S+)", line):
                files[saved[1]] = answer.content


def test_a_line_that_is_no_curl_is_noticed() -> None:
    with pytest.raises(AssertionError):
        request("wget $S", "", "", {})
