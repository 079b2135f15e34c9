"""A stand-in of an OpenAI-compatible endpoint, on real HTTP: it answers by a script or by a plan, and counts.

In a test: `async with StandIn() as model:`, with `model.script` for the next answers; as a process, for servers that
are killed: `python -m tests.runner.standin` prints its port. Both take the same over HTTP: `POST /script` a list of
answers, `POST /plan` a list of answers for each task, and `GET /calls` says what was asked.

An answer is a dictionary: `text`, `calls` (`[{"name", "arguments"}]`), or one of `status` (with `retry_after` and
`message`), `hang` ("silent", "headers", "trickle"), `cut` (after so many characters of `text`), `end` (the same, but
politely), `garbage`, `endless`, `packed`, `raw` (bytes of a body), `redirect`. `plain` answers without a stream
whatever was asked for, `usage` is false where none shall be told, and `wait` seconds pass before it answers.
"""

import asyncio
import contextlib
import gzip
import itertools
import json
import ssl
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

Answer = dict[str, Any]
Body = dict[str, Any]
PIECE = 5  # characters of a streamed answer that come at once


@dataclass
class Call:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: Body
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # the answer is out, or the caller gone
    left: bool = False  # the caller went before the answer was out


def results(body: Body) -> int:
    """How many tool results there are since the last prompt that holds a task."""
    count = 0
    for message in body["messages"]:
        if message["role"] == "user" and '"task":' in json.dumps(message["content"]).replace('\\"', '"'):
            count = 0
        count += message["role"] == "tool"
    return count


def told(body: Body) -> Any:
    """What the last prompt that holds a task says of it."""
    for message in reversed(body["messages"]):
        content = message["content"]
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())
        if message["role"] == "user" and "\n\n{" in text:
            data = json.loads(text[text.index("\n\n{") :])
            if "task" in data:
                return data
    return {"task": {}}


def planned(plan: list[Answer], body: Body) -> Answer:
    """The step of a plan that is next, by what the request holds: so it is the same after any restart."""
    done = results(body)
    for step in plan:
        if done <= 0:
            break
        done -= len(step.get("calls", ()))
    else:
        step = plan[-1]
    number = str(told(body)["task"].get("number", ""))
    filled: Answer = json.loads(json.dumps(step).replace("{number}", number))
    return filled


class StandIn:
    """The endpoint.

    Args:
        policy: computes an answer from a request's body, where no script says one.
        tls: a certificate, to be asked over https.
    """

    def __init__(self, policy: Callable[[Body], Answer] | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.policy = policy
        self.tls = tls
        self.script: deque[Answer] = deque()
        self.calls: list[Call] = []
        self.arrivals: asyncio.Queue[Call] = asyncio.Queue()  # the same, for who waits for them
        self.port = 0
        self._ids = itertools.count(1)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._running.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._running.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        body: Any = json.loads(raw) if raw else {}
        match method, path:
            case "GET", "/calls":
                await _json(writer, 200, [{"path": c.path, "headers": c.headers, "body": c.body} for c in self.calls])
            case "POST", "/script":
                self.script.extend(body)
                await _json(writer, 200, len(self.script))
            case "POST", "/plan":
                self.policy = lambda asked: planned(body, asked)
                await _json(writer, 200, len(body))
            case _:
                call = Call(path, headers, body)
                self.calls.append(call)
                self.arrivals.put_nowait(call)
                await self._answered(call, reader, writer)

    async def _answered(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, unless the caller leaves before."""
        answer = self.script.popleft() if self.script else self.policy(call.body) if self.policy else {"text": "Done."}
        answering = asyncio.ensure_future(self._answer(call.body, answer, writer))
        leaving = asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            call.left = not answering.done()
        finally:
            for task in (answering, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task
            call.ended.set()

    async def _answer(self, body: Body, answer: Answer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(answer.get("wait", 0))
        if "hang" in answer:
            await _hang(writer, answer["hang"])
        elif {"status", "redirect", "garbage", "raw", "packed", "endless"} & answer.keys():
            await _misbehave(writer, answer)
        elif body.get("stream") and not answer.get("plain"):
            await self._stream(body, answer, writer)
        else:
            await _json(writer, 200, self._completion(body, answer))

    async def _stream(self, body: Body, answer: Answer, writer: asyncio.StreamWriter) -> None:
        await _begin(writer, chunked="end" not in answer)
        piece = _piece if "end" not in answer else _bare
        base = {"id": f"c{next(self._ids)}", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

        async def send(**more: Any) -> None:
            await piece(writer, f"data: {json.dumps(base | more)}\n\n".encode())

        async def delta(delta: Body, reason: str | None = None) -> None:
            await send(choices=[{"index": 0, "delta": delta, "finish_reason": reason}])

        text = answer.get("text") or ""
        await delta({"role": "assistant"})
        for start in range(0, len(text[: answer.get("cut", answer.get("end"))]), PIECE):
            await delta({"content": text[start : start + PIECE]})
        if "cut" in answer or "end" in answer:
            return
        for index, call in enumerate(self._tool_calls(answer)):
            arguments = call["function"].pop("arguments")
            await delta({"tool_calls": [{"index": index, **call, "function": call["function"] | {"arguments": ""}}]})
            await delta({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
        await delta({}, "tool_calls" if answer.get("calls") else "stop")
        if answer.get("usage", True):
            await send(choices=[], usage=_usage(body, answer))
        await piece(writer, b"data: [DONE]\n\n")
        await piece(writer, b"")

    def _completion(self, body: Body, answer: Answer) -> Body:
        message = {"role": "assistant", "content": answer.get("text")}
        if answer.get("calls"):
            message["tool_calls"] = self._tool_calls(answer)
        reason = "tool_calls" if answer.get("calls") else "stop"
        return {
            "id": f"c{next(self._ids)}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": _usage(body, answer) if answer.get("usage", True) else None,
        }

    def _tool_calls(self, answer: Answer) -> list[Body]:
        return [
            {
                "id": f"call_{next(self._ids)}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call.get("arguments", {}))},
            }
            for call in answer.get("calls", ())
        ]


def _usage(body: Body, answer: Answer) -> Body:
    asked, said = len(json.dumps(body).split()), len(json.dumps(answer).split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


async def _hang(writer: asyncio.StreamWriter, how: str) -> None:
    if how != "silent":
        await _begin(writer)
    while how == "trickle":
        await _piece(writer, b": still here\n\n")
        await asyncio.sleep(0.05)
    await asyncio.Event().wait()


async def _misbehave(writer: asyncio.StreamWriter, answer: Answer) -> None:
    match answer:
        case {"status": status}:
            message = {"error": {"message": answer.get("message", "no"), "type": "some_error", "code": None}}
            more = {"Retry-After": answer["retry_after"]} if "retry_after" in answer else {}
            await _json(writer, status, message, more)
        case {"redirect": where}:
            await _json(writer, 307, {}, {"Location": where})
        case {"raw": text, "type": kind}:
            await _whole(writer, 200, text.encode(), {"Content-Type": kind})
        case {"packed": _}:
            await _whole(writer, 200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"})
        case {"endless": _}:
            await _begin(writer)
            while True:
                await _piece(writer, b": " + b"x" * 1_000_000 + b"\n\n")
        case _:
            await _whole(writer, 200, b"\xff\x00<html>it works</html>", {"Content-Type": "text/html"})


async def _whole(writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} It", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()


async def _json(writer: asyncio.StreamWriter, status: int, body: Any, more: dict[str, str] | None = None) -> None:
    await _whole(writer, status, json.dumps(body).encode(), {"Content-Type": "application/json", **(more or {})})


async def _begin(writer: asyncio.StreamWriter, *, chunked: bool = True) -> None:
    more = "Transfer-Encoding: chunked\r\n" if chunked else ""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n{more}\r\n".encode())
    await writer.drain()


async def _piece(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    await writer.drain()


async def _bare(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(piece)
    await writer.drain()


async def main() -> None:
    async with StandIn() as served:
        print(served.port, flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)  # until whoever started it is gone


if __name__ == "__main__":
    asyncio.run(main())
