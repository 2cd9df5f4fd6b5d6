"""The list of planted mistakes fits the code as it stands."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mutants import run, simulated, trials
from mutants.catalogue import MUTANTS
from mutants.mutant import Mutant
from mutants.planted import noticed_by
from mutants.trials import Benches, OverTimeError, Ran, Trial, Tried, run_module
from support.simulation import mutants as of_simulation

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_mistake_still_has_its_place(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")

    assert 1 == text.count(mutant.before)
    assert mutant.before != mutant.after
    assert all(_stands(*test.split("::")) for test in mutant.tests)


def _stands(file: str, *name: str) -> bool:
    """Whether a test is there: a file or a folder, or a test in a file."""
    path = ROOT / file
    return path.exists() and all(f"def {test}(" in path.read_text("utf-8") for test in name)


def test_there_are_enough_of_them_with_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25


def test_a_mistake_is_noticed_by_a_test_that_fails() -> None:
    output = "FAILED tests/unit/test_a.py::test_b - assert 1 == 2\n1 failed"

    assert "test_b" == noticed_by(Ran(1, output, 0.1))


def test_a_test_that_could_not_be_set_up_notices_nothing() -> None:
    output = "ERROR tests/unit/test_a.py::test_b - NameError: gone\n1 error"

    assert "" == noticed_by(Ran(1, output, 0.1))
    assert "" == noticed_by(Ran(0, "1 passed", 0.1))


async def test_a_run_that_takes_too_long_is_ended_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "PATIENCE_S", 0.2)

    with pytest.raises(OverTimeError, match=r"timeit is not done within 0.2 s"):
        await run_module(("timeit", "-n", "1", "import time; time.sleep(60)"), ROOT)


async def test_one_that_is_not_done_in_time_costs_no_others_result(tmp_path: Path) -> None:
    async def late(_: Benches) -> Tried:
        raise OverTimeError("not done")

    async def caught(_: Benches) -> Tried:
        return Tried("one", "test_one", 1.0)

    both = [Trial("two", late), Trial("one", caught)]
    console = Console(file=io.StringIO(), width=200)

    tried = await run.try_all(both, Benches(tmp_path), console)

    assert [(one.name, one.caught, one.late) for one in tried] == [
        ("two", False, True),
        ("one", True, False),
    ]


def test_those_of_the_simulation_are_tried_too_and_scored_with_the_others() -> None:
    names = {trial.name for trial in simulated.trials(())}

    assert len(names) == len(of_simulation.MUTANTS)
    assert names.isdisjoint(mutant.name for mutant in MUTANTS)
    assert names == {trial.name for trial in simulated.trials(("simulation",))}
