"""What ``scoord doctor`` finds by a check alone, and what explains that a demo differs."""

from pathlib import Path

import pytest

from scoord.sections import SessionCoordination
from scoord_agent.cli import checks, demo
from scoord_hooks import claude_version
from scoord_hooks.claude_wiring import UnreachableAction
from scoord_hooks.install import install
from scoord_hooks.order import Order


def test_a_check_that_fails_in_a_way_nobody_foresaw_keeps_no_other_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> checks.Finding:
        raise ValueError("two\nlines")

    monkeypatch.setattr(checks, "_CHECKS", (("git", broken), ("python", checks._python)))

    first, second = checks.findings()

    assert (checks.Level.FAIL, checks.Level.OK) == (first.level, second.level)
    assert "cannot be checked: ValueError: two lines (a mistake of ours)" == first.text


def test_hooks_that_do_other_than_the_settings_say_when_the_agent_is_gone_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SCOORD_STATE_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(claude_version, "installed", lambda: (2, 1, 330))
    install(Order(unreachable=UnreachableAction.WARN))
    before = checks._hooks()
    monkeypatch.setenv("SCOORD_UNREACHABLE_ACTION", "block")
    now = checks._hooks()

    assert (before.level, now.level) == (checks.Level.OK, checks.Level.WARN)
    assert now.text.endswith("when the agent is gone (warn); your settings say block")
    assert now.advice == "run: scoord hooks install"


@pytest.mark.parametrize("setting", ["auto_register", "enable_file_locks"])
def test_settings_by_which_nothing_is_locked_are_a_warning(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = checks._settings()
    monkeypatch.setenv(f"SCOORD_{setting.upper()}", "false")
    now = checks._settings()

    assert (before.level, now.level) == (checks.Level.OK, checks.Level.WARN)
    assert f", but {setting} is false, so " in now.text
    assert now.advice == "set it to true, unless that is meant"


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        (SessionCoordination(auto_register=False), "auto_register is false, so sessions are not"),
        (SessionCoordination(claim_timeout=0.5), "claim_timeout is 0.5 s, so a turn may be over"),
        (SessionCoordination(), ""),
    ],
)
def test_a_demo_that_differs_names_the_setting(settings: SessionCoordination, hint: str) -> None:
    found = demo._hint_of(settings)
    assert found.startswith(hint)
    assert bool(found) == bool(hint)
