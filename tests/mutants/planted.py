"""Mistakes as edits of a file: planted in a copy of the tree, whose tests must then fail."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from mutants.catalogue import MUTANTS
from mutants.mutant import Mutant
from mutants.trials import Benches, BrokenRunError, Ran, Trial, Tried, run_module

TRIES = 2
"""Of tests that must pass: what measures time may fail once where a machine is busy."""

_FAILED = 1
"""What pytest ends with when a test failed; anything else is a mistake of this program's own."""


def chosen(words: Sequence[str]) -> list[Mutant]:
    """Those whose name holds one of the words; all without any."""
    return [m for m in MUTANTS if any(word in m.name for word in words or [""])]


def trials(mutants: Sequence[Mutant]) -> Iterator[Trial]:
    """What is to be tried."""
    return (Trial(mutant.name, partial(_try, mutant)) for mutant in mutants)


async def check_healthy(mutants: Sequence[Mutant], benches: Benches, console: Console) -> None:
    """See that the tests pass without a mistake: else a failure proves nothing."""
    console.print("first without a mistake: the tests must pass then")
    async with asyncio.TaskGroup() as group:
        for folder, tests in _by_folder(mutants).items():
            group.create_task(_check_passing(folder, tests, benches, console))


def noticed_by(ran: Ran) -> str:
    """The first test that failed; empty where none did.

    One that could not even be set up proves nothing: the mistake broke what tests stand on.
    """
    lines = ran.output.splitlines() if ran.code == _FAILED else []
    failed = [line for line in lines if line.startswith("FAILED ")]
    return failed[0].split()[1].rpartition("::")[2] if failed else ""


def _by_folder(mutants: Sequence[Mutant]) -> dict[str, list[str]]:
    """All tests of the mutants, each once, by ``tests/unit``, ``tests/integration``, …"""
    folders: dict[str, list[str]] = {}
    for test in dict.fromkeys(test for mutant in mutants for test in mutant.tests):
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


async def _try(mutant: Mutant, benches: Benches) -> Tried:
    async with benches.one() as copy:
        _plant(mutant, copy)
        for _ in range(TRIES):
            ran = await _run_tests(mutant.tests, copy)
            if ran.code == 0:
                break  # no failure, or one that was the busy machine's
    if ran.code not in (0, _FAILED):
        raise BrokenRunError(f"{mutant.name}: the tests could not run:\n{ran.output[-3000:]}")
    return Tried(mutant.name, noticed_by(ran), ran.took_s)


def _plant(mutant: Mutant, copy: Path) -> None:
    """Make the one edit."""
    target = copy / mutant.file
    text = target.read_text(encoding="utf-8")
    if text.count(mutant.before) != 1:
        raise BrokenRunError(f"{mutant.name}: {mutant.file} does not hold its text exactly once")
    target.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")


async def _run_tests(tests: Sequence[str], copy: Path) -> Ran:
    options = ("-x", "-q", "--no-header", "-p", "no:cacheprovider")
    return await run_module(("pytest", *options, *tests), copy)
