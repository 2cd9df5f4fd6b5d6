"""The simulation finds mistakes that are planted: it would find ours."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from unittest.mock import patch

import pytest

from scoord_server.farewells import Farewells
from support.simulation import noted
from support.simulation.campaign import Finding, first_finding, processes
from support.simulation.mutants import BY_NAME, MUTANTS, Mutant
from support.simulation.record import CHECKS, CRASH

Found = Future[Finding | None]


@pytest.fixture(scope="module")
def findings(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Found]]:
    """What finds each mistake that a test here asks for: several are looked for at once."""
    chosen = {
        item.callspec.params["mutant"].name: None
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    with processes(min(2, os.cpu_count() or 1)) as pool:
        yield {name: pool.submit(first_finding, name) for name in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_mistake_is_found(mutant: Mutant, findings: Mapping[str, Found]) -> None:
    assert findings[mutant.name].result(), f"nobody saw that {mutant.breaks}"


def test_each_is_found_by_what_is_there_for_it_and_never_by_a_crash() -> None:
    assert all(mutant.found_by for mutant in MUTANTS)
    assert {check for mutant in MUTANTS for check in mutant.found_by} <= CHECKS.keys() - {CRASH}


async def _breaks_off(*_: object) -> list[object]:
    raise RuntimeError("a crash; that it breaks a promise too proves nothing")


def test_a_mistake_that_crashes_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = tuple(CHECKS.keys() - {CRASH})
    crash = Mutant("a crash", "all", checks, lambda: patch.object(Farewells, "look", _breaks_off))
    monkeypatch.setitem(BY_NAME, crash.name, crash)

    assert first_finding(crash.name, range(2)) is None


def test_what_was_noted_is_tried_first_and_all_else_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noted, "FILE", tmp_path / "noted.json")
    noted.FILE.write_text("{}")

    assert [0, 1, 2] == [*noted.first("a mistake", 3)]
    noted.note("a mistake", 1)
    noted.note("another", 7)
    assert [1, 0, 2] == [*noted.first("a mistake", 3)]
    assert [7, 0, 1, 2] == [*noted.first("another", 3)]


def test_only_mistakes_that_there_are_are_noted() -> None:
    assert noted.seeds().keys() <= BY_NAME.keys()
