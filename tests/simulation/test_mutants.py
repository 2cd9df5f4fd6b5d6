"""The simulation finds mistakes that are planted: it would find ours."""

import pytest

from support.simulation.campaign import first_violation
from support.simulation.mutants import MUTANTS, Mutant

WITHIN_SEEDS = 200


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_mistake_is_found(mutant: Mutant) -> None:
    assert first_violation(range(WITHIN_SEEDS), mutant.name), f"nobody saw that {mutant.breaks}"
