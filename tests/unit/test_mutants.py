"""The list of planted mistakes fits the code as it stands."""

from pathlib import Path

import pytest

from mutants.catalogue import MUTANTS, Mutant

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
