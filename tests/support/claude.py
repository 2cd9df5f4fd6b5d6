"""The real Claude Code, found or fetched once, and run without leaving the machine.

It talks to a scripted model on loopback. Everything else it might want to reach
goes to a proxy port that nobody listens on. That needs no root, unlike a network
namespace, and lets agent, coordinator and store stay where the test runs them.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.scripted_model import ScriptedModel

VERSION = (2, 1, 330)
"""The version the tests are written against, and the oldest they use from PATH."""

_PACKAGE = "@anthropic-ai/claude-code"
_CLOSED_PROXY = "http://127.0.0.1:9"  # the discard port: nobody listens there
_FETCH_SECONDS = 600
_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund")


class NoClaudeCode(Exception):  # noqa: N818 (an answer, turned into a skip)
    """Why there is no Claude Code to test with."""


def find_or_fetch() -> Path:
    """Return a Claude Code to test with: ``$SCOORD_CLAUDE``, PATH, the cache, or npm.

    Raises NoClaudeCode.
    """
    named = os.environ.get("SCOORD_CLAUDE")
    if named:
        return Path(named)
    on_path = shutil.which("claude")
    if on_path and version_of(Path(on_path)) >= VERSION:
        return Path(on_path)
    if _native(_cache()) is None:
        _fetch(_cache())
    native = _native(_cache())
    if native is None:
        raise NoClaudeCode(f"no Claude Code: npm brought none for this machine to {_cache()}")
    return native


def version_of(binary: Path) -> tuple[int, ...]:
    """Return the version a binary says it has; () if it does not run."""
    try:
        run = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
        return tuple(int(part) for part in run.stdout.split()[0].split("."))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return ()


def _native(cache: Path) -> Path | None:
    """Return the platform's own binary; the package's ``bin`` needs an install script."""
    return next(cache.glob(f"node_modules/{_PACKAGE}-*/claude"), None)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    version = ".".join(map(str, VERSION))
    return Path(base) / "scoord-tests" / "claude-code" / version


def _fetch(cache: Path) -> None:
    """Install into a directory beside the cache and move it: never half there."""
    npm = shutil.which("npm")
    if npm is None:
        raise NoClaudeCode("no Claude Code: npm is not installed, and SCOORD_CLAUDE is not set")
    cache.parent.mkdir(parents=True, exist_ok=True)
    parts = Path(tempfile.mkdtemp(dir=cache.parent))
    try:
        subprocess.run(
            [npm, "install", "--prefix", parts, *_NPM_OPTIONS, f"{_PACKAGE}@{cache.name}"],
            check=True,
            capture_output=True,
            timeout=_FETCH_SECONDS,
        )
        with contextlib.suppress(OSError):
            parts.rename(cache)  # another process may have been faster: its copy is as good
    except subprocess.SubprocessError as failure:
        raise NoClaudeCode(f"no Claude Code: npm cannot fetch it ({failure})") from failure
    finally:
        shutil.rmtree(parts, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Result:
    """How one run of Claude Code ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Mapping[str, object]:
        """The JSON of ``--output-format json``."""
        answer = json.loads(self.stdout)
        assert isinstance(answer, dict)
        return answer

    @property
    def denials(self) -> list[Mapping[str, object]]:
        """The tool calls that were not permitted, by a hook or by Claude Code itself."""
        denials = self.json["permission_denials"]
        assert isinstance(denials, list)
        return denials


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """One user's Claude Code, on a home directory of its own."""

    binary: Path
    home: Path
    model: ScriptedModel
    environment: Mapping[str, str] = field(default_factory=dict)
    """More variables, e.g. ``SCOORD_STATE_DIR``."""

    async def run(
        self,
        prompt: str,
        *,
        cwd: Path,
        settings: Path | None = None,
        permission_mode: str = "acceptEdits",
        allowed_tools: str = "Bash Edit Write Read",
        mcp_config: Path | None = None,
        plugin: Path | None = None,
    ) -> Result:
        """Run one prompt to its end. Cancelling kills the process, as a crash would."""
        arguments = ["-p", prompt, "--output-format", "json", "--permission-mode", permission_mode]
        arguments += ["--allowedTools", allowed_tools] if allowed_tools else []
        arguments += ["--settings", str(settings)] if settings else []
        arguments += ["--mcp-config", str(mcp_config), "--strict-mcp-config"] if mcp_config else []
        arguments += ["--plugin-dir", str(plugin)] if plugin else []
        return await self.call(*arguments, cwd=cwd)

    async def call(self, *arguments: str, cwd: Path) -> Result:
        """Run it with these arguments to its end. Cancelling kills it."""
        process = await asyncio.create_subprocess_exec(
            self.binary,
            *arguments,
            cwd=cwd,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            stdout, stderr = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Result(process.returncode, stdout.decode(), stderr.decode())

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ANTHROPIC_BASE_URL": self.model.url,
            "ANTHROPIC_API_KEY": "no-key-is-needed-here",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
            "HTTP_PROXY": _CLOSED_PROXY,
            "HTTPS_PROXY": _CLOSED_PROXY,
            "NO_PROXY": "127.0.0.1,localhost",
            **self.environment,
        }
