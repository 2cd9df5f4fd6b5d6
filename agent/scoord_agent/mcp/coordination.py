"""The tools in the field's own terms: status, claim, release, suggest, tell, progress, history."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import anyio
import anyio.lowlevel
from pydantic import BaseModel, ConfigDict, Field

from scoord.happenings import DETAILS, KINDS
from scoord_agent import processes
from scoord_agent import wording_mcp as wording
from scoord_agent.cli.local_client import ANSWER_S, SUGGEST_S, refused
from scoord_agent.graph_shapes import check
from scoord_agent.mcp.asking import WAITS, Answer, Caller, ask, news
from scoord_agent.mcp.tool import Arguments, Reply, Run, Tool, bounded

_SLICE_S: Final = 2.0
"""How long one question waits, so that a call that is cancelled ends soon."""
_LEAVE_S: Final = 5.0

Path = Annotated[str, Field(min_length=1, max_length=4096)]
Paths = Annotated[
    list[Path], Field(min_length=1, max_length=30, description="Files or patterns, 1 to 30.")
]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(_Input):
    """No arguments."""


class ClaimInput(_Input):
    """What to take, and on which terms."""

    paths: Paths
    reason: str = Field(default="", max_length=1000, description="Why; other sessions read it.")
    wait_s: float = Field(
        default=0.0, ge=0, le=60, description="Wait so many seconds for the turn, if held."
    )
    shared: bool = Field(
        default=False, description="Share them with others that read too; nobody edits meanwhile."
    )
    lasts_s: float = Field(
        default=0.0,
        ge=0,
        le=604_800,
        description="End after so many seconds; 0: with the session, or as before.",
    )


class ReleaseInput(_Input):
    """What to give back."""

    paths: Paths


class SuggestInput(_Input):
    """How much to suggest."""

    count: int = Field(default=3, ge=1, le=20, description="How many suggestions at most.")


class TellInput(_Input):
    """What to say to whom."""

    session: str = Field(
        min_length=1, max_length=200, description="Short name or id of the session, as in status."
    )
    text: str = Field(min_length=1, max_length=10_000, description="One line; it is cut at 200.")


class ProgressInput(_Input):
    """How far the work is."""

    percent: int = Field(ge=0, le=100, description="0 to 100.")
    step: str = Field(default="", max_length=1000, description="What it is at now; one line.")


class HistoryInput(_Input):
    """Which lines of history."""

    session: str = Field(default="", max_length=200, description="Short name or id.")
    path: str = Field(default="", max_length=4096, description="A file, or a folder.")
    person: str = Field(default="", max_length=200, description="Whose sessions.")
    kinds: list[Annotated[str, Field(max_length=40)]] = Field(
        default=[], max_length=100, description=f"Only what happened thus: {', '.join(KINDS)}."
    )
    details: bool = Field(
        default=False, description=f"Also, where kinds names none: {', '.join(DETAILS)}."
    )
    since_s: float = Field(default=0.0, ge=0, le=3.16e7, description="Not older; a year at most.")
    limit: int = Field(default=20, ge=1, le=200, description="How many at most.")


def coordination_tools() -> tuple[Tool, ...]:
    """All tools of this kind."""
    rows = {"type": "array", "items": {"type": "object"}}
    maybe = {**rows, "type": ["array", "null"]}
    text = {"type": "string"}
    return (
        Tool(
            "status",
            "Who works on what",
            wording.STATUS,
            _schema(Nothing),
            _telling(_status),
            _object(
                news=_TEXTS, you=text, sessions=rows, locks=rows, waiters=maybe, coordinator=_ANY
            ),
            reads_only=True,
        ),
        Tool(
            "claim",
            "Take locks",
            wording.CLAIM,
            _schema(ClaimInput),
            _telling(_claim),
            _object(news=_TEXTS, granted={"type": "boolean"}, locks=rows, held=rows),
        ),
        Tool(
            "release",
            "Give locks back",
            wording.RELEASE,
            _schema(ReleaseInput),
            _telling(_release),
            _object(news=_TEXTS, released=_TEXTS, owed=_TEXTS, left=_TEXTS, not_held=_TEXTS),
        ),
        Tool(
            "suggest",
            "Work that is free",
            wording.SUGGEST,
            _schema(SuggestInput),
            _suggest,
            _object(suggestions=rows),
        ),
        Tool("tell", "Tell a session", wording.TELL, _schema(TellInput), _tell, _ANY),
        Tool("progress", "Say how far it is", wording.PROGRESS, _schema(ProgressInput), _progress),
        Tool(
            "history",
            "What happened",
            wording.HISTORY,
            _schema(HistoryInput),
            _history,
            _object(events=rows),
            reads_only=True,
        ),
    )


_ANY: Final[dict[str, Any]] = {"type": "object"}
_LEFT_OUT: Final[dict[str, Any]] = {
    **_ANY,
    "description": "How many rows are not in the list of that name; not there where all are.",
}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}


def _telling(run: Run) -> Run:
    """Ahead of its answer, what its session was not told yet and no hook will tell it.

    It is asked for after that: what is given back may be found to be lost.
    """

    async def tell(caller: Caller, arguments: Arguments) -> Reply:
        reply = await run(caller, arguments)
        told = await news(caller)
        data = bounded({"news": told}) | (reply.data or {})
        return Reply("\n".join((*told, reply.text)), data)

    return tell


async def _status(caller: Caller, arguments: Arguments) -> Reply:
    check(Nothing, dict(arguments))
    answer = await ask("GET", f"/v1/status?{urlencode({'cwd': caller.cwd, 'all': 0})}")
    own = _own(answer, caller)
    told = {key: answer.get(key) for key in ("project", "coordinator", "problems", "view_age_s")}
    rows = {key: answer[key] for key in ("sessions", "locks", "waiters")}
    return Reply(wording.status(answer, own), bounded({"you": own, **told, **rows}))


async def _claim(caller: Caller, arguments: Arguments) -> Reply:
    wish = check(ClaimInput, dict(arguments))
    answer = await _take(_body(caller, **wish.model_dump(exclude={"wait_s"})), wish.wait_s)
    if "granted" in answer:
        locks = answer["granted"]
        data = {"granted": True, "locks": locks, "held": []}
        return Reply(wording.granted(locks, shared=wish.shared), bounded(data, path=str))
    held = [_held_row(row) for row in answer["held"]]
    reads = answer.get("reads") is not False
    text = wording.held(answer["held"], waited=wish.wait_s > 0, reads=reads)
    return Reply(text, bounded({"granted": False, "locks": [], "held": held}))


async def _take(body: Answer, wait_s: float) -> Answer:
    """Ask, and ask again for the turn.

    A call that is cancelled gives up its place in the queue, and what it was granted
    meanwhile: nobody hears of it. One whose time is over keeps its place, as an edit does
    that is refused.
    """
    until, held, answer = anyio.current_time() + wait_s, list[Answer](), Answer()
    try:
        while True:
            left = max(0.0, min(until - anyio.current_time(), _SLICE_S))
            answer = await _ask_once(body, left if wait_s else None, held)
            # It came by a thread, which no cancellation reaches.
            await anyio.lowlevel.checkpoint_if_cancelled()
            if "granted" in answer or left == 0:
                return answer
            held = answer["held"]
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_LEAVE_S, shield=True):
            await ask("POST", "/v1/leave", {**body, "new": _new_in(answer)})
        raise


async def _ask_once(body: Answer, within_s: float | None, held: Sequence[Answer]) -> Answer:
    """Ask, and wait for so long, if at all. ``held`` is what the last call was answered."""
    if within_s is None:
        return await ask("POST", "/v1/acquire", body)
    call = {**body, "within_s": within_s, "refused": refused(held)}
    return await ask("POST", "/v1/wait", call, within_s + ANSWER_S, WAITS)


def _new_in(answer: Answer) -> list[tuple[str, str]]:
    """What was granted and not had before, as far as an agent of any version says it."""
    rows = answer.get("granted", ())
    return [(row["project"], row["path"]) for row in rows if row.get("new")]


async def _release(caller: Caller, arguments: Arguments) -> Reply:
    paths = check(ReleaseInput, dict(arguments)).paths
    answer = await ask("POST", "/v1/release", _body(caller, paths=paths))
    told = {key: answer.get(key, []) for key in ("released", "owed", "left", "not_held")}
    return Reply(wording.released(**told), bounded(told, path=str))


async def _suggest(caller: Caller, arguments: Arguments) -> Reply:
    count = check(SuggestInput, dict(arguments)).count
    body = _body(caller, count=count, asks_for_agent=True)
    answer = await ask("POST", "/v1/suggest", body, SUGGEST_S)
    rows = answer.get("suggestions", [])
    return Reply(wording.suggested(answer), bounded({**answer, "suggestions": rows}))


async def _tell(caller: Caller, arguments: Arguments) -> Reply:
    wanted = check(TellInput, dict(arguments))
    answer = await ask("POST", "/v1/tell", _body(caller, to=wanted.session, text=wanted.text))
    return Reply(wording.told(answer), bounded(answer))


async def _progress(caller: Caller, arguments: Arguments) -> Reply:
    said = check(ProgressInput, dict(arguments))
    answer = await ask("POST", "/v1/progress", _body(caller, **said.model_dump()))
    return Reply(wording.progressed(answer), bounded(answer))


async def _history(caller: Caller, arguments: Arguments) -> Reply:
    filters = check(HistoryInput, dict(arguments))
    wanted = filters.model_dump(exclude={"path", "details"})
    wanted |= {"file": filters.path, "all": filters.details}
    answer = await ask("POST", "/v1/history", _body(caller, **wanted))
    rows = answer.get("events", [])
    return Reply(wording.history(rows), bounded({**answer, "events": rows}))


def _held_row(row: Mapping[str, Any]) -> Answer:
    """Why one path was not taken: who has it, why, since when, and the place in its queue."""
    lock = row["lock"]
    kept = ("session_id", "alias", "agent_id", "person", "host", "branch", "reason", "held_s")
    return {
        "path": row["path"],
        "place": row["place"],
        "kept_for_first_in_queue": row.get("is_claim", False),
        **{key: lock.get(key) for key in kept},
    }


def _own(answer: Answer, caller: Caller) -> str:
    """The short name of the session that calls: the nearest above it, as the agent finds it."""
    above = processes.ancestors(caller.pid)
    here = {row["pid"]: row for row in answer["sessions"] if row.get("local") and row.get("pid")}
    found = next((here[pid] for pid in above if pid in here), None)
    return str(found["alias"]) if found else ""


def _body(caller: Caller, **fields: Any) -> Answer:
    return {"cwd": caller.cwd, "pid": caller.pid, **fields}


def _schema(shape: type[BaseModel]) -> dict[str, Any]:
    schema = shape.model_json_schema()
    schema.pop("description", None)
    return schema


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    more = {"rows_left_out": _LEFT_OUT}
    return {"type": "object", "properties": properties | more, "required": sorted(properties)}
