"""Lines: as they come, however they come, and in bounded memory."""

import asyncio
import os
import socket
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsquad.bridge import lines
from agentsquad.bridge.lines import Output, Splitter


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_chunks_make_the_lines_that_were_sent(texts: list[bytes], size: int) -> None:
    expected = [text.replace(b"\n", b"") for text in texts]
    whole = b"".join(text + b"\n" for text in expected)
    splitter = Splitter()
    found = [line for at in range(0, len(whole), size) for line in splitter.feed(whole[at : at + size])]
    assert found == expected


def test_a_line_that_is_too_long_is_left_out_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 10)
    splitter = Splitter()
    for _ in range(1000):
        assert splitter.feed(b"123456") == []
        assert len(splitter._rest) <= 10
    assert splitter.feed(b"\n1234567890\n12345678901\nok\n") == [None, b"1234567890", None, b"ok"]


async def read(file: int) -> list[bytes | None]:
    async with aclosing(lines.read(file)) as found:
        return [line async for line in found]


async def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"one\n\ntwo\r\n" + b"x" * 300_000 + b"\nhalf")
    with file.open("rb") as opened:
        assert await read(opened.fileno()) == [b"one", b"", b"two\r", b"x" * 300_000]


async def test_what_never_blocks_is_read_too() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        reading = asyncio.create_task(read(here.fileno()))
        await asyncio.to_thread(there.sendall, b"one\ntw")
        await asyncio.to_thread(there.sendall, b"o\n")
        there.close()
        assert await reading == [b"one", b"two"]


async def test_what_is_not_open_has_no_lines() -> None:
    here, there = os.pipe()
    os.close(here)
    os.close(there)
    assert await read(here) == []


async def test_a_reader_that_is_given_up_leaves_the_loop_alone() -> None:
    here, there = os.pipe()
    reading = asyncio.create_task(read(here))
    await asyncio.sleep(0)
    reading.cancel()
    assert (await asyncio.wait({reading}))[0]
    os.close(there)
    os.close(here)


async def test_lines_are_written_whole_however_slowly_they_are_read() -> None:
    here, there = os.pipe()
    os.set_blocking(there, False)
    output = Output(there)
    texts = [letter * 200_000 for letter in (b"a", b"b", b"c")]
    writing = asyncio.gather(*map(output.write, texts))
    assert [await asyncio.to_thread(take, here, 200_001) for _ in texts] == [text + b"\n" for text in texts]
    await writing
    os.close(here)
    os.close(there)


def take(file: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += os.read(file, size - len(found))
    return found


async def test_who_waits_for_a_line_may_leave_and_the_line_is_whole() -> None:
    here, there = os.pipe()
    output = Output(there)
    first, second = (asyncio.create_task(output.write(text)) for text in (b"a" * 200_000, b"b"))
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.to_thread(take, here, 200_003) == b"a" * 200_000 + b"\nb\n"
    await second
    os.close(here)
    os.close(there)


async def test_where_nobody_reads_nothing_is_written() -> None:
    here, there = os.pipe()
    os.close(here)
    output = Output(there)
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            await output.write(b"a")
    os.close(there)


async def test_what_is_said_to_a_person_commands_no_terminal() -> None:
    here, there = os.pipe()
    Output(there).say("a\x1b[31m\nb\u202e\x00ö")
    assert await asyncio.to_thread(os.read, here, 100) == "a [31m b  ö\n".encode()
    os.close(here)
    os.close(there)
