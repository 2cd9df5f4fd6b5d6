"""The simulation finds mistakes that are planted: it would find ours."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future

import pytest

from support.simulation.campaign import first_violation, processes
from support.simulation.mutants import MUTANTS, Mutant

WITHIN_SEEDS = 400

Found = Future[tuple[int, str] | None]


@pytest.fixture(scope="module")
def findings(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Found]]:
    """What finds each mistake that a test here asks for: several are looked for at once."""
    chosen = {
        item.callspec.params["mutant"].name: None
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    with processes(min(2, os.cpu_count() or 1)) as pool:
        seeds = range(WITHIN_SEEDS)
        yield {name: pool.submit(first_violation, seeds, name) for name in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_mistake_is_found(mutant: Mutant, findings: Mapping[str, Found]) -> None:
    assert findings[mutant.name].result(), f"nobody saw that {mutant.breaks}"
