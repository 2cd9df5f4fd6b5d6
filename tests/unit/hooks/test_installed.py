"""What the installed hooks ask of a Claude Code."""

import os
from pathlib import Path

import pytest

from scoord_hooks import claude_version, installed
from scoord_hooks.claude_wiring import Transport, UnreachableAction
from scoord_hooks.install import install
from scoord_hooks.order import Order, Way
from scoord_hooks.precheck import limits

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("action", list(UnreachableAction))
def test_what_was_ordered_is_found_in_the_settings(
    transport: Transport, action: UnreachableAction
) -> None:
    order = Order(transport=transport, unreachable=action)
    install(order)
    assert installed.orders() == [order]


def test_where_nothing_is_installed_nothing_was_ordered(file: Path) -> None:
    assert installed.orders() == []
    file.write_text("{,}")
    assert installed.orders() == []


API_ERROR = "a turn that an error of its API ends"


@pytest.mark.parametrize(
    ("order", "version", "lacks"),
    [
        (Order(), (2, 1, 100), []),
        (Order(), (2, 1, 62), ["http hooks", API_ERROR]),
        (Order(unreachable=UnreachableAction.BLOCK), (2, 1, 100), ["onFailure"]),
        (
            Order(unreachable=UnreachableAction.BLOCK),
            (2, 1, 62),
            ["http hooks", API_ERROR, "onFailure"],
        ),
        (Order(transport=Transport.COMMAND), (2, 1, 62), [API_ERROR, "through a shell"]),
        (Order(transport=Transport.COMMAND, unreachable=UnreachableAction.BLOCK), (2, 1, 200), []),
    ],
)
def test_all_that_the_installed_hooks_lack_is_told_and_nothing_else(
    order: Order, version: tuple[int, int, int], lacks: list[str]
) -> None:
    install(order)
    told = installed.lacks(version)
    assert len(told) == len(lacks)
    assert all(each in line for each, line in zip(lacks, told, strict=True))


def test_no_claude_and_one_without_a_version_are_told_apart(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(home))
    assert claude_version.unknown() == "no claude on PATH"
    program = home / "claude"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{home}:{os.defpath}")
    (note,) = limits(Order(), claude_version.installed())
    why = f"the version of {program} cannot be read, so it was not checked what it lacks"
    mend = "StopFailure was left out; install again once claude --version answers"
    assert note == f"{why}, and {mend}"


def test_a_plugin_has_all_its_hooks_also_where_no_claude_is_known() -> None:
    (note,) = limits(Order(way=Way.PLUGIN), None)
    assert note.endswith("so it was not checked what it lacks")
