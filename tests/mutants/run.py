"""Plants each mistake in a copy of the tree and sees whether the tests notice.

``make mutants`` runs all, two at a time, and ends with 1 if one was not caught.
``make mutants ONLY=word`` runs those whose name holds one of the words; the names of
those that the simulation must find begin with ``simulation``.

The tree is copied once, as it is when the run begins, and each mistake is planted in
a copy of that: nobody's files are touched, and they may be worked on meanwhile. The
copies vanish and the tests end with the run, also on Ctrl-C.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mutants import planted, simulated, trials
from mutants.trials import ROOT, Benches, BrokenRunError, OverTimeError, Trial, Tried
from support.processes import end_on_signals


async def main(words: Sequence[str], console: Console) -> int:
    """Run the chosen mutants; 0 when every one was caught."""
    edits, of_simulation = planted.chosen(words), tuple(simulated.trials(words))
    if not edits and not of_simulation:
        console.print(f"error: no planted mistake's name holds ONLY={escape(' '.join(words))}")
        return 2
    with tempfile.TemporaryDirectory(prefix="scoord-mutants-") as folder:
        pristine = Path(folder)
        _copy_tree(pristine)
        benches = Benches(pristine)
        if edits:
            await planted.check_healthy(edits, benches, console)
        chosen = [*planted.trials(edits), *of_simulation]
        tried = await try_all(chosen, benches, console)
    console.print(_table(tried))
    caught = sum(one.caught for one in tried)
    late = sum(one.late for one in tried)
    unknown = f"; {late} were not done in time" if late else ""
    console.print(f"score: {caught} of {len(tried)} planted mistakes are caught{unknown}")
    return 0 if caught == len(tried) else 1


async def try_all(chosen: Sequence[Trial], benches: Benches, console: Console) -> list[Tried]:
    """Try each, and say what becomes of it."""

    async def tried(trial: Trial) -> Tried:
        result = await _result(trial, benches)
        done.append(result)
        caught = sum(one.caught for one in done)
        verdict = (
            f"caught by {escape(result.by)}" if result.caught else f"[red]{_missed(result)}[/]"
        )
        where = f"{len(done):3}/{len(chosen)} ({caught} caught) {result.took_s:3.0f} s"
        console.print(f"{where}  {trial.name}: {verdict}", soft_wrap=True)
        return result

    done: list[Tried] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tried(trial)) for trial in chosen]
    return [task.result() for task in tasks]


async def _result(trial: Trial, benches: Benches) -> Tried:
    """What becomes of one: that it takes too long is no reason to lose the others."""
    try:
        return await trial.run(benches)
    except OverTimeError:
        return Tried(trial.name, "", trials.PATIENCE_S, late=True)


def _missed(result: Tried) -> str:
    return "NOT DONE IN TIME" if result.late else "NOT CAUGHT"


def _copy_tree(copy: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__", ".git", ".venv", ".hypothesis", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=unwanted, symlinks=True, dirs_exist_ok=True)


def _table(results: Sequence[Tried]) -> Table:
    table = Table("mistake", "caught", "by", "s")
    for result in results:
        caught = "yes" if result.caught else "not known" if result.late else "NO"
        table.add_row(result.name, caught, escape(result.by), f"{result.took_s:.0f}")
    return table


if __name__ == "__main__":
    end_on_signals()
    try:
        sys.exit(asyncio.run(main(sys.argv[1:], Console())))
    except* BrokenRunError as broken:
        sys.exit(f"error: {broken.exceptions[0]}")
    except* KeyboardInterrupt:
        sys.exit("stopped; nothing is left behind")
