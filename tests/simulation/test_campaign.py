"""What counts: faults that did something, and histories that prove something."""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from scoord.errors import InvalidRequest, ScoordError, StoreUnavailable
from scoord_agent.desk import Desk
from support.simulation import __main__ as command
from support.simulation import campaign
from support.simulation.campaign import FLOORS, TELLING, Totals, run_valid
from support.simulation.history import Result, simulate
from support.simulation.record import CRASH

LOOK_AT_MOST = 40


def _in_vain(result: Result) -> int:
    return result.record.text().count(" fault without effect ")


def test_a_fault_that_finds_nothing_to_spoil_is_not_counted() -> None:
    results = (simulate(seed) for seed in range(LOOK_AT_MOST))
    result = next(result for result in results if _in_vain(result))
    assert result.record.text().count(" fault over ") == result.record.faults.total()


def test_an_invalid_history_counts_as_nothing_else() -> None:
    record = simulate(0).record
    totals = Totals()

    totals.add(Result(0, record, "only 0 hooks"))
    assert (1, 0, 0) == (totals.histories, totals.valid, totals.counts.total())
    totals.add(Result(1, record, ""))
    assert (record.counts, record.faults) == (totals.counts, totals.faults)


@pytest.mark.parametrize("what", campaign.FLOORS)
def test_what_never_happens_is_said(what: str) -> None:
    often = Counter({it: 1_000 for it in campaign.FLOORS if it != what})
    faults = {it.removeprefix("fault: "): often.pop(it) for it in [*often] if it[:7] == "fault: "}
    totals = Totals(histories=1, counts=often, faults=Counter(faults))

    assert {what: 0} == totals.too_seldom


@pytest.mark.parametrize(
    ("failure", "found"), [(InvalidRequest("wrong"), True), (StoreUnavailable("away"), False)]
)
def test_a_command_that_fails_as_it_may_not_is_found(
    monkeypatch: pytest.MonkeyPatch, failure: ScoordError, found: bool
) -> None:
    async def fails(*_: object) -> object:
        raise failure

    monkeypatch.setattr(Desk, "release", fails)

    crashes = [it for it in simulate(0).record.violations if it.check == CRASH]
    assert found == bool(crashes)


class Half:
    """In place of the histories: those of even seeds are invalid."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def run(self, seeds: Sequence[int], _jobs: int, _mutant: str = "") -> Iterator[Totals]:
        for seed in seeds:
            self.seeds.append(seed)
            yield Totals(histories=1, invalid={} if seed % 2 else {seed: "only 0 hooks"})


def test_histories_are_run_until_as_many_are_valid_as_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half, totals = Half(), Totals()
    monkeypatch.setattr(campaign, "run_parallel", half.run)

    for part in run_valid(3, 4, jobs=1):
        totals.merge(part)

    assert [3, 4, 5, 6, 7, 8, 9] == half.seeds
    assert (4, 7) == (totals.valid, totals.histories)


def test_it_ends_where_hardly_any_history_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Totals(histories=1, invalid={0: "only 0 hooks"})
    monkeypatch.setattr(campaign, "run_parallel", lambda seeds, *_: (none for _ in seeds))

    assert 8 == sum(part.histories for part in run_valid(0, 4, jobs=1))


@pytest.fixture
def terminated_as_ever() -> Iterator[None]:
    """The command line has SIGTERM end it as Ctrl-C does; here it runs in the test's process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _ends_with(monkeypatch: pytest.MonkeyPatch, wanted: int, *parts: Totals) -> int:
    """What ``make simulate`` ends with after these parts; where there are none, it is stopped."""

    def run(*_: object) -> Iterator[Totals]:
        yield from parts
        if not parts:
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_valid", run)
    monkeypatch.setattr("sys.argv", ["simulation", "--seeds", str(wanted)])
    return command.main()


def _all_often(histories: int) -> Totals:
    often = Counter({what: 1_000_000 for what in FLOORS if not what.startswith("fault: ")})
    faults = Counter({it[7:]: 1_000_000 for it in FLOORS if it.startswith("fault: ")})
    return Totals(histories=histories, counts=often, faults=faults)


@pytest.mark.usefixtures("terminated_as_ever")
@pytest.mark.parametrize(
    ("wanted", "parts", "ends", "said"),
    [
        (9, (), 130, "not proved: only 0 of 9 histories are valid"),
        (
            1,
            (Totals(histories=2, invalid={0: "only 0 hooks", 1: "only 1 hooks"}),),
            1,
            "not proved: only 0 of 1 histories are valid",
        ),
        (0, (_all_often(0),), 1, "not proved: only 0 of 0 histories are valid"),
        (
            2,
            (Totals(histories=2, violations={1: ["two holders"]}),),
            1,
            "not proved: promises are broken in 1 histories",
        ),
        (TELLING, (Totals(histories=TELLING),), 1, "not proved: hardly ever happened: hooks, "),
        (TELLING - 1, (Totals(histories=TELLING - 1),), 0, "299/299 valid histories"),
        (TELLING, (_all_often(TELLING),), 0, "300/300 valid histories"),
    ],
    ids=["interrupted", "all invalid", "none wanted", "broken", "too seldom", "too few", "proved"],
)
def test_it_ends_well_only_where_something_is_proved(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wanted: int,
    parts: tuple[Totals, ...],
    ends: int,
    said: str,
) -> None:
    assert ends == _ends_with(monkeypatch, wanted, *parts)

    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith(said)
