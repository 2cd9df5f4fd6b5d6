"""Plants each mistake in a copy of the tree and sees whether the tests notice.

``make mutants`` runs all, two at a time, and ends with 1 if one was not caught.
``make mutants ONLY=word`` runs those whose name holds one of the words.

The tree is copied once, as it is when the run begins, and each mistake is planted in
a copy of that: nobody's files are touched, and they may be worked on meanwhile. The
copies vanish and the tests end with the run, also on Ctrl-C.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mutants.catalogue import MUTANTS, Mutant
from support.processes import end_on_signals

ROOT = Path(__file__).parents[2]
SOURCES = ("protos", "server", "agent", "hooks")
PATIENCE_S = 600
AT_ONCE = 2
TRIES = 2
"""Of tests that must pass: what measures time may fail once where a machine is busy."""

_FAILED = 1
"""What pytest ends with when a test failed; anything else is a mistake of this program's own."""


class BrokenRunError(Exception):
    """The run proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run of tests ended."""

    code: int
    output: str
    took_s: float

    @property
    def first_failure(self) -> str:
        """The test that noticed."""
        lines = self.output.splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return failed[0].split()[1].rpartition("::")[2] if failed else ""


@dataclass(frozen=True, slots=True)
class Result:
    """A mistake, and the run of the tests that should notice it."""

    mutant: Mutant
    ran: Ran

    @property
    def caught(self) -> bool:
        """Whether a test noticed."""
        return self.ran.code == _FAILED


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


async def main(words: Sequence[str], console: Console) -> int:
    """Run the chosen mutants; 0 when every one was caught."""
    chosen = [m for m in MUTANTS if any(word in m.name for word in words or [""])]
    with tempfile.TemporaryDirectory(prefix="scoord-mutants-") as folder:
        pristine = Path(folder)
        _copy_tree(pristine)
        benches = Benches(pristine)
        await _check_healthy(chosen, benches, console)
        results = await _try_all(chosen, benches, console)
    console.print(_table(results))
    caught = sum(result.caught for result in results)
    console.print(f"score: {caught} of {len(results)} planted mistakes are caught")
    return 0 if caught == len(results) else 1


async def _check_healthy(chosen: Sequence[Mutant], benches: Benches, console: Console) -> None:
    """See that the tests pass without a mistake: else a failure proves nothing."""
    console.print("first without a mistake: the tests must pass then")
    async with asyncio.TaskGroup() as group:
        for folder, tests in _by_folder(chosen).items():
            group.create_task(_check_passing(folder, tests, benches, console))


def _by_folder(chosen: Sequence[Mutant]) -> dict[str, list[str]]:
    """All tests of the mutants, each once, by ``tests/unit``, ``tests/integration``, …"""
    folders: dict[str, list[str]] = {}
    for test in dict.fromkeys(test for mutant in chosen for test in mutant.tests):
        path = Path(test.partition("::")[0])
        folders.setdefault(str(path.parent if path.suffix else path), []).append(test)
    return folders


async def _check_passing(
    folder: str, tests: Sequence[str], benches: Benches, console: Console
) -> None:
    async with benches.one() as copy:
        for _ in range(TRIES):
            ran = await _run_tests(tests, copy)
            if ran.code == 0:
                return console.print(f"  {folder}: {len(tests)} pass in {ran.took_s:.0f} s")
    raise BrokenRunError(f"without a mistake {folder} fails:\n{ran.output[-3000:]}")


async def _try_all(chosen: Sequence[Mutant], benches: Benches, console: Console) -> list[Result]:
    async def tried(mutant: Mutant) -> Result:
        result = await _try(mutant, benches)
        done.append(result)
        caught = sum(one.caught for one in done)
        verdict = f"caught by {result.ran.first_failure}" if result.caught else "[red]NOT CAUGHT[/]"
        where = f"{len(done):3}/{len(chosen)} ({caught} caught) {result.ran.took_s:3.0f} s"
        console.print(f"{where}  {mutant.name}: {verdict}", soft_wrap=True)
        return result

    done: list[Result] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tried(mutant)) for mutant in chosen]
    return [task.result() for task in tasks]


async def _try(mutant: Mutant, benches: Benches) -> Result:
    async with benches.one() as copy:
        _plant(mutant, copy)
        for _ in range(TRIES):
            ran = await _run_tests(mutant.tests, copy)
            if ran.code == 0:
                break  # no failure, or one that was the busy machine's
    if ran.code not in (0, _FAILED):
        raise BrokenRunError(f"{mutant.name}: the tests could not run:\n{ran.output[-3000:]}")
    return Result(mutant, ran)


def _plant(mutant: Mutant, copy: Path) -> None:
    """Make the one edit."""
    target = copy / mutant.file
    text = target.read_text(encoding="utf-8")
    if text.count(mutant.before) != 1:
        raise BrokenRunError(f"{mutant.name}: {mutant.file} does not hold its text exactly once")
    target.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")


def _copy_tree(copy: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__", ".git", ".venv", ".hypothesis", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=unwanted, symlinks=True, dirs_exist_ok=True)


async def _run_tests(tests: Sequence[str], copy: Path) -> Ran:
    begun = time.monotonic()
    paths = os.pathsep.join(str(copy / folder) for folder in (*SOURCES, "tests"))
    options = ("-x", "-q", "--no-header", "-p", "no:cacheprovider")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", *options, *tests),
        cwd=copy,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
    finally:
        await _end(process)
    return Ran(process.returncode or 0, output.decode(errors="replace"), time.monotonic() - begun)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the tests if they still run, with every process that they started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _table(results: Sequence[Result]) -> Table:
    table = Table("mistake", "caught", "by", "s")
    for result in results:
        caught = "yes" if result.caught else "NO"
        took = f"{result.ran.took_s:.0f}"
        table.add_row(result.mutant.name, caught, result.ran.first_failure, took)
    return table


if __name__ == "__main__":
    end_on_signals()
    try:
        sys.exit(asyncio.run(main(sys.argv[1:], Console())))
    except* BrokenRunError as broken:
        sys.exit(f"error: {broken.exceptions[0]}")
    except* KeyboardInterrupt:
        sys.exit("stopped; nothing is left behind")
