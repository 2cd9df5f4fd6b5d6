"""Between the SDK's stdio transport and its server: whatever is asked has an answer.

By themselves, the two leave a line that is no JSON-RPC without one, and when the pipe
closes, end what was asked just before. A script that writes its requests and closes
the pipe is as good a client as one that waits.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

if TYPE_CHECKING:  # the SDK gives these types no public name
    from mcp.shared._stream_protocols import ReadStream, WriteStream

LINGER_S: Final = 20.0
"""How long what was asked before the pipe closed may take to be answered."""

_HALVES: Final = re.compile("[\ud800-\udfff]")
"""Of characters that take two units: JavaScript writes one alone where it cuts a text."""

Incoming = SessionMessage | Exception
"""A message, or why a line is none."""


@asynccontextmanager
async def answering(
    reading: "ReadStream[Incoming]", writing: "WriteStream[SessionMessage]"
) -> AsyncIterator["tuple[ReadStream[Incoming], WriteStream[SessionMessage]]"]:
    """Yield what a server is to read and write in place of the transport's own streams."""
    asked = _Asked()
    to_server, server_reads = anyio.create_memory_object_stream[Incoming]()
    server_writes, from_server = anyio.create_memory_object_stream[SessionMessage]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_bring_in, reading, to_server, writing, asked)
        tasks.start_soon(_bring_out, from_server, writing, asked)
        async with server_reads, server_writes:
            yield server_reads, server_writes


class _Asked:
    """The requests that were not answered yet."""

    def __init__(self) -> None:
        self._open: set[types.RequestId] = set()
        self._changed = anyio.Event()

    def note(self, message: types.JSONRPCMessage) -> None:
        """It was asked, answered, or is not wanted any more."""
        match message:
            case types.JSONRPCRequest():
                self._open.add(message.id)
            case types.JSONRPCResponse() | types.JSONRPCError():
                self._over(message.id)
            case types.JSONRPCNotification(method="notifications/cancelled"):
                self._over((message.params or {}).get("requestId"))

    async def all_answered(self) -> None:
        """Wait until nothing is open."""
        while self._open:
            self._changed = anyio.Event()
            await self._changed.wait()

    def _over(self, request: types.RequestId | None) -> None:
        if request is not None:
            self._open.discard(request)
        self._changed.set()


async def _bring_in(
    reading: "ReadStream[Incoming]",
    to_server: "WriteStream[Incoming]",
    writing: "WriteStream[SessionMessage]",
    asked: _Asked,
) -> None:
    # The server may end before its client does.
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with to_server:
            async for read in reading:
                message = _with_whole_texts(read)
                if isinstance(message, SessionMessage):
                    asked.note(message.message)
                    await to_server.send(message)
                elif not _is_blank(message):
                    await writing.send(_refusal(message))
            with anyio.move_on_after(LINGER_S):
                await asked.all_answered()


async def _bring_out(
    from_server: "ReadStream[SessionMessage]", writing: "WriteStream[SessionMessage]", asked: _Asked
) -> None:
    async with from_server, writing:
        async for message in from_server:
            await writing.send(message)
            asked.note(message.message)


def _with_whole_texts(read: Incoming) -> Incoming:
    """The message, if it is one but for halves of characters: the SDK reads no such line."""
    line = None if isinstance(read, SessionMessage) else _json_of(read)
    if line is None:
        return read
    try:
        mended = _HALVES.sub("\ufffd", json.dumps(line, ensure_ascii=False))
        message = types.jsonrpc_message_adapter.validate_json(mended, by_name=False)
    except (ValidationError, RecursionError):
        return read
    return SessionMessage(message)


def _refusal(why: Exception) -> SessionMessage:
    """The answer to a line that is no request, under the id that it has where it looks like one."""
    line = _json_of(why)
    if _is_no_json(why) and line is None:
        error = types.ErrorData(code=types.PARSE_ERROR, message="Parse error")
    else:
        error = types.ErrorData(code=types.INVALID_REQUEST, message="Invalid Request")
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=_id_in(line), error=error))


def _json_of(why: Exception) -> Any:
    """What Python makes of a line that the SDK takes for no message; None if nothing."""
    if not isinstance(why, ValidationError):
        return None
    if not _is_no_json(why):
        # For one kind of message or the other, the line as a whole lacks something.
        errors = ((each["type"], len(each["loc"]), each["input"]) for each in why.errors())
        return next((line for what, deep, line in errors if (what, deep) == ("missing", 2)), None)
    try:
        return json.loads(why.errors()[0]["input"])
    except (ValueError, RecursionError):
        return None


def _id_in(line: Any) -> types.RequestId | None:
    """Which request it would be; None where nobody knows."""
    found = line.get("id") if isinstance(line, dict) and "method" in line else None
    if isinstance(found, str):
        return _HALVES.sub("\ufffd", found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _is_no_json(why: Exception) -> bool:
    return isinstance(why, ValidationError) and why.errors()[0]["type"] == "json_invalid"


def _is_blank(why: Exception) -> bool:
    return isinstance(why, ValidationError) and why.errors()[0]["input"] in ("\n", "\r\n", "")
