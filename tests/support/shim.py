"""The shim as a coding CLI runs it, with a state directory of its own."""

import asyncio
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

HOOKS = Path(__file__).parents[2] / "hooks"
SHIM = HOOKS / "scoord_hooks" / "plugin" / "hooks" / "shim.sh"
BASH = os.environ.get("SCOORD_TEST_BASH") or shutil.which("bash") or "bash"
EVENT = {"session_id": "0f6b", "cwd": "/repo", "hook_event_name": "PreToolUse"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the shim printed, and how long it took."""

    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Mapping[str, object]:
        answer = json.loads(self.stdout)
        assert isinstance(answer, dict)
        return answer


@dataclass(frozen=True, slots=True)
class Shim:
    """The shim with a state directory of its own."""

    state: Path

    def set_up(self, port: int, python: str = "/bin/false") -> None:
        lines = f"SCOORD_PORT={port}\nSCOORD_TOKEN=s3cret\nSCOORD_PYTHON='{python}'\n"
        (self.state / "hook.env").write_text(lines)

    async def run(
        self,
        *arguments: str,
        body: bytes = json.dumps(EVENT).encode(),
        script: Path = SHIM,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            BASH,
            script,
            *arguments,
            env={"PATH": os.environ["PATH"], "SCOORD_STATE_DIR": str(self.state), **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate(body)
        assert process.returncode == 0
        return Answer(stdout.decode(), stderr.decode(), time.monotonic() - began)


def is_deny(answer: Answer) -> bool:
    specific = answer.json.get("hookSpecificOutput", {})
    assert isinstance(specific, dict)
    return specific.get("permissionDecision") == "deny"


def told(answer: Answer, event: str) -> str:
    """What the user is told in the agent's place, and the model too."""
    said = answer.json["systemMessage"]
    specific = {"hookEventName": event, "additionalContext": said}
    assert answer.json == {"hookSpecificOutput": specific, "systemMessage": said}
    return str(said)


def fake_python(directory: Path, port: int, late_s: float = 0.0) -> Path:
    """Write an interpreter that becomes an agent, as ``python -m scoord_agent`` would."""
    script = directory / "python"
    program = directory / "agent.py"
    program.write_text(
        "import http.server, os, sys, time\n"
        f"time.sleep({late_s})\n"
        "class Agent(http.server.BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        self.rfile.read(int(self.headers['Content-Length']))\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', '16')\n"
        "        self.end_headers()\n"
        "        self.wfile.write(b'{\"started\":true}')\n"
        f"server = http.server.HTTPServer(('127.0.0.1', {port}), Agent)\n"
        f"open({str(directory / 'started')!r}, 'w').write(' '.join(sys.argv[1:]) + '|'\n"
        "    + os.environ['SCOORD_STATE_DIR'] + '|' + os.getcwd() + '|'\n"
        "    + str(os.getsid(0) == os.getpid()) + '|' + os.environ['SCOORD_AGENT_PORT'])\n"
        "server.handle_request()\n"
    )
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    script.chmod(stat.S_IRWXU)
    return script
