"""What the locks promise holds in thousands of histories full of trouble."""

import os

import pytest

from support.simulation.campaign import Totals, run_parallel

SEEDS = 2_000
MOST_INVALID = 0.1
"""Of all: a fault that is drawn late may find nothing to spoil."""


@pytest.mark.timeout(1_800)
def test_no_promise_is_broken_whatever_goes_wrong() -> None:
    totals = Totals()
    for part in run_parallel(range(SEEDS), jobs=min(2, os.cpu_count() or 1)):
        totals.merge(part)

    assert totals.violations == {}
    assert totals.histories == SEEDS
    assert len(totals.invalid) < MOST_INVALID * SEEDS, totals.invalid
    assert min(totals.faults.values()) > SEEDS / 10, totals.faults
    assert totals.counts["hooks"] > 100 * SEEDS
    assert totals.counts["served in turn"] > SEEDS
    assert totals.counts["allowed by lock"] > 10 * SEEDS
