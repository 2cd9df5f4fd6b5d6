"""The lab, started once for a module, and the figures that a run prints at its end."""

from collections.abc import Iterator

import pytest

from support.lab.figures import Figures
from support.lab.lab import Lab, lab
from support.lab.network import missing
from support.missing import cannot_run

_FIGURES = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = terminalreporter.config.stash[_FIGURES].lines()
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    return request.config.stash[_FIGURES]


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where no network namespaces can be had; in CI that is a failure."""
    if reason := missing():
        cannot_run(reason)


@pytest.fixture(scope="module")
def team(
    etcd_binary: None, namespaces: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as running:
        yield running
