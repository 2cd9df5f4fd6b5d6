"""What the demo plays: two sessions that meet on one file. Values and a scratch project only."""

import contextlib
import secrets
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

CLIENT: Final = "claude-code"
PROMPT: Final = "refactor authentication logic"
_OTHER_PROMPT: Final = "add two-factor login"
_GO_ON: Final = "go on"
_SLEEP_S: Final = "300"
"""Longer than any demo; if the demo is killed, its sessions end by themselves."""


_OF_TOOLS: Final = frozenset({"PreToolUse", "PostToolUse"})
_START: Final = {"source": "startup", "model": "claude-sonnet-5"}
_STOP: Final[dict[str, Any]] = {
    "stop_hook_active": False,
    "last_assistant_message": "Done.",
    "background_tasks": [],
    "session_crons": [],
}
_END: Final = {"reason": "other"}

Held = tuple[tuple[str, str], ...]
"""(session, path) of locks, sorted."""


class Outcome(StrEnum):
    """What came of a step."""

    ALLOWED = "allowed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Step:
    """One hook event of one session, and what is expected to come of it."""

    session: str
    does: str
    event: str
    fields: dict[str, Any] = field(default_factory=dict)
    expected: Outcome = Outcome.ALLOWED
    locks: Held | None = None
    """Every lock there should be after this step; None if they are not looked at."""
    tells: str = ""
    """What its model, or the person, is told, among other things."""
    aside: bool = False
    """Whether it only belongs to the events of a session, and is shown if something is told."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A scratch project, and the process that stands for each session's coding CLI."""

    project: Path
    pids: dict[str, int]
    client_ids: dict[str, str]
    prompt_ids: dict[str, str]


def steps(project: Path) -> tuple[Step, ...]:
    """Return the whole play."""
    only_a = (("A", "auth.py"),)
    auth, test = project / "auth.py", project / "tests" / "test_auth.py"
    first, refused, instead, again = _edit(auth), _edit(auth), _edit(test), _edit(auth)
    return (
        Step("A", "starts", "SessionStart", _START),
        Step("B", "starts", "SessionStart", _START),
        Step("A", f'is asked: "{PROMPT}"', "UserPromptSubmit", {"prompt": PROMPT}),
        Step("B", f'is asked: "{_OTHER_PROMPT}"', "UserPromptSubmit", {"prompt": _OTHER_PROMPT}),
        Step("A", "edits auth.py", "PreToolUse", first, locks=only_a),
        _edited("A", "auth.py", first),
        Step("B", "edits auth.py too", "PreToolUse", refused, expected=Outcome.REFUSED),
        Step(
            "B",
            "edits tests/test_auth.py instead",
            "PreToolUse",
            instead,
            locks=(*only_a, ("B", "tests/test_auth.py")),
        ),
        _edited("B", "tests/test_auth.py", instead),
        Step("A", "has finished", "Stop", _STOP, aside=True),
        Step("A", "ends", "SessionEnd", _END, locks=(("B", "tests/test_auth.py"),)),
        Step(
            "B",
            f'is asked: "{_GO_ON}"',
            "UserPromptSubmit",
            {"prompt": _GO_ON},
            tells="auth.py is free",
        ),
        Step(
            "B",
            "tries auth.py again",
            "PreToolUse",
            again,
            locks=(("B", "auth.py"), ("B", "tests/test_auth.py")),
        ),
        _edited("B", "auth.py", again),
        Step("B", "has finished", "Stop", _STOP, aside=True),
        Step("B", "ends", "SessionEnd", _END, locks=()),
    )


def body(scene: Scene, step: Step) -> dict[str, Any]:
    """Return the event's JSON, with the fields that Claude Code sends."""
    client_id = scene.client_ids[step.session]
    common = {
        "session_id": client_id,
        "transcript_path": str(scene.project / f"{client_id}.jsonl"),
        "cwd": str(scene.project),
        "hook_event_name": step.event,
    }
    if step.event != "SessionStart":  # there is none before the first prompt
        common["prompt_id"] = scene.prompt_ids[step.session]
    if step.event not in ("SessionStart", "SessionEnd"):
        common["permission_mode"] = "default"
    effort = {"effort": {"level": "high"}} if step.event in _OF_TOOLS else {}
    return common | effort | step.fields


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """Make a scratch project and two processes; end and remove them afterwards."""
    with tempfile.TemporaryDirectory(prefix="scoord-demo-") as folder, _two_processes() as pids:
        # Resolved, as a shell tells where it stands: /tmp is a link on macOS.
        project = Path(folder).resolve()
        _fill(project)
        yield Scene(project, pids, _ids(pids), _ids(pids))


def _ids(names: Iterable[str]) -> dict[str, str]:
    return {name: str(uuid.uuid4()) for name in names}


def _edited(session: str, path: str, edit: dict[str, Any]) -> Step:
    """Return what follows on an edit that was allowed."""
    done = {"filePath": edit["tool_input"]["file_path"], "success": True}
    fields = {**edit, "tool_response": done, "duration_ms": 12}
    return Step(session, f"has edited {path}", "PostToolUse", fields, aside=True)


def _edit(file: Path) -> dict[str, Any]:
    return {
        "tool_name": "Edit",
        "tool_input": {
            "file_path": str(file),
            "old_string": "pass",
            "new_string": "...",
            "replace_all": False,
        },
        "tool_use_id": f"toolu_{secrets.token_hex(8)}",
    }


@contextlib.contextmanager
def _two_processes() -> Iterator[dict[str, int]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(_process()) for name in "AB"}


@contextlib.contextmanager
def _process() -> Iterator[int]:
    """Run a process that does nothing, as the one whose life a session depends on."""
    with subprocess.Popen(["sleep", _SLEEP_S]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _fill(project: Path) -> None:
    (project / "tests").mkdir()
    (project / "auth.py").write_text("def login():\n    pass\n", encoding="utf-8")
    (project / "tests" / "test_auth.py").write_text(
        "def test_login():\n    pass\n", encoding="utf-8"
    )
    if shutil.which("git"):
        _commit(project)


def _commit(project: Path) -> None:
    """Make it a repository of its own: without a commit it has no name others could share."""
    settings = {
        "user.name": "scoord demo",
        "user.email": "demo@localhost",
        "commit.gpgSign": "false",
        "core.hooksPath": "/dev/null",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    # Two demos in the same second must not be one project: the message makes the id differ.
    message = f"A demo that is thrown away ({secrets.token_hex(8)})"
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", message]):
        subprocess.run(["git", "-C", str(project), *options, *arguments], check=True)
