"""A model that says what a test tells it to, over the Messages API's own stream.

A coding CLI that is pointed at it really runs its tools and hooks, and every
request shows what the model was told. A conversation is found by its prompt, and
the turn by counting, so several processes may talk at once and may ask again.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Use:
    """One tool call."""

    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model says once; with ``after``, not before that event is set."""

    text: str = ""
    uses: tuple[Use, ...] = ()
    after: asyncio.Event | None = None


def text(words: str) -> Turn:
    """Return a turn of words alone, which ends the model's answer."""
    return Turn(text=words)


def use(tool: str, **arguments: object) -> Turn:
    """Return a turn that calls one tool."""
    return Turn(uses=(Use(tool, arguments),))


def held(event: asyncio.Event, turn: Turn) -> Turn:
    """Return the turn, said only when the event is set: the CLI waits, alive, until then."""
    return Turn(turn.text, turn.uses, event)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a scripted conversation: all the model was told until now."""

    prompt: str
    turn: int
    body: Mapping[str, object]

    @property
    def told(self) -> str:
        """All texts of the conversation: prompt, reminders and tool results."""
        return "\n".join(
            [*_texts(self.body.get("system")), *_texts(self.body.get("messages"))],
        )

    @property
    def tool_results(self) -> list[Mapping[str, object]]:
        """The ``tool_result`` blocks, oldest first."""
        return [
            block
            for message in _messages(self.body)
            for block in _blocks(message)
            if block.get("type") == "tool_result"
        ]


@dataclass(slots=True)
class ScriptedModel:
    """The server. Give its ``url`` to the CLI as ``ANTHROPIC_BASE_URL``."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    _scripts: dict[str, Sequence[Turn]] = field(default_factory=dict)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def say(self, prompt: str, *turns: Turn) -> None:
        """Answer the conversation that begins with this prompt with these turns."""
        self._scripts[prompt] = turns

    async def asked(self, prompt: str, turn: int) -> Request:
        """Wait until the model is asked for that turn (from 0) of that conversation."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self._find(prompt, turn) is not None)
        request = self._find(prompt, turn)
        assert request is not None
        return request

    def last(self, prompt: str) -> Request:
        """Return the conversation's last request."""
        return next(r for r in reversed(self.requests) if r.prompt == prompt)

    def _find(self, prompt: str, turn: int) -> Request | None:
        found = (r for r in self.requests if (r.prompt, r.turn) == (prompt, turn))
        return next(found, None)

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        if http.method != "POST":
            return web.json_response({})
        body = await http.json()
        if http.path.endswith("/count_tokens"):
            return web.json_response({"input_tokens": 10})
        turn = await self._next_turn(body)
        return await self._stream(http, str(body.get("model")), turn)

    async def _next_turn(self, body: Mapping[str, object]) -> Turn:
        prompt = self._prompt_of(body)
        if prompt is None or not body.get("tools"):
            return text("ok")  # a title, a summary: nothing a test looks at
        number = sum(message.get("role") == "assistant" for message in _messages(body))
        async with self._arrived:
            self.requests.append(Request(prompt, number, body))
            self._arrived.notify_all()
        script = self._scripts[prompt]
        turn = script[number] if number < len(script) else text("The script ends here.")
        if turn.after is not None:
            await turn.after.wait()
        return turn

    def _prompt_of(self, body: Mapping[str, object]) -> str | None:
        opening = "\n".join(_texts(_messages(body)[:1]))
        return next((prompt for prompt in self._scripts if prompt in opening), None)

    async def _stream(self, http: web.Request, model: str, turn: Turn) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(http)
        for event in _events(f"msg_{next(self._ids)}", model, self._content(turn), turn):
            data = json.dumps(event)
            await response.write(f"event: {event['type']}\ndata: {data}\n\n".encode())
        return response

    def _content(self, turn: Turn) -> list[dict[str, object]]:
        content: list[dict[str, object]] = []
        if turn.text:
            content.append({"type": "text", "text": turn.text})
        for call in turn.uses:
            number = f"toolu_{next(self._ids):08}"
            content.append(
                {"type": "tool_use", "id": number, "name": call.tool, "input": call.arguments}
            )
        return content


@asynccontextmanager
async def scripted_model() -> AsyncIterator[ScriptedModel]:
    """Run a scripted model on a loopback port of its own."""
    model = ScriptedModel()
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", model._answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        model.url = f"http://{host}:{port}"
        yield model
    finally:
        await runner.cleanup()


def _events(
    message_id: str, model: str, content: Sequence[dict[str, object]], turn: Turn
) -> Iterator[dict[str, object]]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, object] = {"id": message_id, "type": "message", "role": "assistant"}
    message |= {"model": model, "content": [], "usage": usage}
    yield {"type": "message_start", "message": {**message, "stop_reason": None}}
    for index, block in enumerate(content):
        yield from _block_events(index, block)
    stop = {"stop_reason": "tool_use" if turn.uses else "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": usage}
    yield {"type": "message_stop"}


def _block_events(index: int, block: dict[str, object]) -> Iterator[dict[str, object]]:
    start: dict[str, object]
    if block["type"] == "text":
        start = block | {"text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    else:
        start = block | {"input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    yield {"type": "content_block_start", "index": index, "content_block": start}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _messages(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    messages = body.get("messages")
    assert isinstance(messages, list)
    return messages


def _blocks(message: Mapping[str, object]) -> list[Mapping[str, object]]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _texts(value: object) -> Iterator[str]:
    """Yield every text inside messages, blocks and tool results."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name in ("text", "content"):
            yield from _texts(value.get(name))
