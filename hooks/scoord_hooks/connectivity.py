"""Whether events would reach the agent now: asked for real, by both transports."""

import http.client
import json
import os
import subprocess
from pathlib import Path
from typing import Final

from scoord.local import state_dir
from scoord_hooks.claude_code import CLIENT

_SECONDS: Final = 3
# No coding CLI has an event of this name, so the agent has nothing to do for it.
_TEST_EVENT: Final = "ConnectivityTest"


def agent_answers(port: int, token: str) -> bool:
    """Tell whether the agent answers on its port and takes the token."""
    return _health(port, token) == http.HTTPStatus.OK


def token_is_refused(port: int, token: str) -> bool:
    """Tell whether what answers there, an agent as it seems, wants another token."""
    return _health(port, token) == http.HTTPStatus.UNAUTHORIZED


def _health(port: int, token: str) -> int | None:
    """Return the status that the agent's port answers with; None if nothing speaks HTTP there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/v1/health", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def shim_passes(shim: Path, bash: str) -> bool:
    """Tell whether the shim brings an event to the agent and its answer back."""
    # Any directory will do; the current one may be gone.
    body = {"session_id": _TEST_EVENT, "cwd": str(state_dir()), "hook_event_name": _TEST_EVENT}
    try:
        run = subprocess.run(
            [bash, "-p", shim, CLIENT, _TEST_EVENT, "proceed"],
            input=json.dumps(body).encode(),
            env={**os.environ, "SCOORD_STATE_DIR": str(state_dir())},
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return run.stdout.startswith(b"{")
