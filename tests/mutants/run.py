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

from mutants import planted, simulated
from mutants.trials import ROOT, Benches, BrokenRunError, Trial, Tried
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
        trials = [*planted.trials(edits), *of_simulation]
        tried = await _try_all(trials, benches, console)
    console.print(_table(tried))
    caught = sum(one.caught for one in tried)
    console.print(f"score: {caught} of {len(tried)} planted mistakes are caught")
    return 0 if caught == len(tried) else 1


async def _try_all(trials: Sequence[Trial], benches: Benches, console: Console) -> list[Tried]:
    async def tried(trial: Trial) -> Tried:
        result = await trial.run(benches)
        done.append(result)
        caught = sum(one.caught for one in done)
        verdict = f"caught by {escape(result.by)}" if result.caught else "[red]NOT CAUGHT[/]"
        where = f"{len(done):3}/{len(trials)} ({caught} caught) {result.took_s:3.0f} s"
        console.print(f"{where}  {trial.name}: {verdict}", soft_wrap=True)
        return result

    done: list[Tried] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tried(trial)) for trial in trials]
    return [task.result() for task in tasks]


def _copy_tree(copy: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__", ".git", ".venv", ".hypothesis", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=unwanted, symlinks=True, dirs_exist_ok=True)


def _table(results: Sequence[Tried]) -> Table:
    table = Table("mistake", "caught", "by", "s")
    for result in results:
        caught = "yes" if result.caught else "NO"
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
