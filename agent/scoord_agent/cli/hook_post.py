"""Brings hook events to the agent, exactly as a coding CLI's http or command hook does."""

import http.client
import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import closing
from importlib.resources import as_file
from typing import Any, Final

from scoord import local
from scoord.errors import CoordinatorUnreachable, DeadlineExceeded, InternalError
from scoord_hooks.places import bash_path, shim_resource

HOOK_S: Final = 5.0
"""A hook is answered within 2.5 s, whatever happens."""


def post(client: str, event: str, body: Mapping[str, object], pid: int) -> dict[str, Any]:
    """Post one event for the coding CLI with process id ``pid``; return its JSON answer."""
    port = local.agent_port()
    headers = {
        "Authorization": f"Bearer {local.token()}",
        "Content-Type": "application/json",
        "X-Scoord-Pid": str(pid),
    }
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=HOOK_S)) as connection:
            connection.request("POST", f"/v1/hooks/{client}/{event}", json.dumps(body), headers)
            with connection.getresponse() as response:
                return _read(response.status, response.read(), port)
    except (OSError, http.client.HTTPException) as failure:
        raise CoordinatorUnreachable(
            f"no agent answers on 127.0.0.1:{port}; start it with `scoord up`"
        ) from failure


def by_shim(client: str, event: str, body: Mapping[str, object], pid: int) -> dict[str, Any]:
    """Give one event to the shim, as the coding CLI with process id ``pid`` would."""
    environ = os.environ | {"CLAUDE_PID": str(pid), "SCOORD_STATE_DIR": str(local.state_dir())}
    with as_file(shim_resource()) as shim:
        command = [bash_path(), "-p", str(shim), client, event, "warn"]
        said = json.dumps(body).encode()
        try:
            done = subprocess.run(
                command, input=said, env=environ, capture_output=True, timeout=HOOK_S, check=True
            )
            answer = json.loads(done.stdout or b"{}")
        except subprocess.TimeoutExpired as failure:
            raise DeadlineExceeded(f"the hook did not end within {HOOK_S:g} s") from failure
        except (OSError, subprocess.SubprocessError, ValueError) as failure:
            raise InternalError("the hook's shim failed; see `scoord doctor`") from failure
    return dict(answer)


def _read(status: int, body: bytes, port: int) -> dict[str, Any]:
    try:
        answer = json.loads(body or b"{}")
    except ValueError:
        answer = None
    if status != http.client.OK or not isinstance(answer, dict):
        raise InternalError(
            f"what answers on port {port} is not our agent (HTTP {status}); see `scoord doctor`"
        )
    return answer
