"""Mistakes that the simulation must find: each is looked for in one history after the other."""

from collections.abc import Iterator, Sequence
from functools import partial

from mutants.trials import Benches, BrokenRunError, Ran, Trial, Tried, run_module
from support.simulation.campaign import FOUND, NOT_FOUND
from support.simulation.mutants import MUTANTS, Mutant


def trials(words: Sequence[str]) -> Iterator[Trial]:
    """Those whose name holds one of the words; all without any, or with ``simulation``."""
    for mutant in MUTANTS:
        name = f"simulation: {mutant.name}"
        if any(word in name for word in words or [""]):
            yield Trial(name, partial(_try, name, mutant))


async def _try(name: str, mutant: Mutant, benches: Benches) -> Tried:
    async with benches.shared() as copy:
        ran = await run_module(("support.simulation", "--find", mutant.name), copy)
    if ran.code not in (0, NOT_FOUND):
        raise BrokenRunError(f"{name}: no histories could be run:\n{ran.output[-3000:]}")
    return Tried(name, _seen(ran), ran.took_s)


def _seen(ran: Ran) -> str:
    """What a check saw; histories that broke off may have said something too."""
    said = (line for line in ran.output.splitlines() if line.startswith(FOUND))
    return next(said, "").removeprefix(FOUND).strip()
