"""What it is to try one planted mistake: where it runs, what it came to, who noticed."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCES = ("protos", "server", "agent", "hooks", "tests")
PATIENCE_S = 3_600
"""For one run; on a slow machine the simulation takes half of it."""
AT_ONCE = 2


class BrokenRunError(Exception):
    """The run proves nothing; the message says why."""


class OverTimeError(BrokenRunError):
    """A run was not done in time: nobody knows whether the mistake is noticed."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one mistake."""

    name: str
    by: str
    """What noticed it; empty when nothing did."""
    took_s: float
    late: bool = False
    """Whether it was not done in time."""

    @property
    def caught(self) -> bool:
        """Whether anything noticed."""
        return bool(self.by)


@dataclass(frozen=True, slots=True)
class Trial:
    """One mistake that is to be tried."""

    name: str
    run: "Callable[[Benches], Coroutine[Any, Any, Tried]]"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended."""

    code: int
    output: str
    took_s: float


class Benches:
    """Copies of the tree, one for each run at a time."""

    def __init__(self, pristine: Path) -> None:
        self._pristine = pristine
        self._room = asyncio.Semaphore(AT_ONCE)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[Path]:
        """A copy of its own, for as long as it is needed."""
        async with self._room:
            with tempfile.TemporaryDirectory(prefix="scoord-mutant-") as folder:
                copy = Path(folder) / "tree"
                await asyncio.to_thread(shutil.copytree, self._pristine, copy, symlinks=True)
                yield copy

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[Path]:
        """The copy that all others are made of, for a run that changes nothing in it."""
        async with self._room:
            yield self._pristine


async def run_module(arguments: Sequence[str], copy: Path) -> Ran:
    """Run ``python -m`` with the code of ``copy``; it ends with us, and all that it started.

    Raises OverTimeError.
    """
    begun = time.monotonic()
    paths = os.pathsep.join(str(copy / folder) for folder in SOURCES)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        cwd=copy,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise OverTimeError(f"{arguments[0]} is not done within {PATIENCE_S:g} s") from error
    finally:
        await _end(process)
    return Ran(process.returncode or 0, output.decode(errors="replace"), time.monotonic() - begun)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program if it still runs, with every process that it started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
