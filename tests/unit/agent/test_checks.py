"""What ``scoord doctor`` finds where a check itself fails."""

import pytest

from scoord_agent.cli import checks


def test_a_check_that_fails_in_a_way_nobody_foresaw_keeps_no_other_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> checks.Finding:
        raise ValueError("two\nlines")

    monkeypatch.setattr(checks, "_CHECKS", (("git", broken), ("python", checks._python)))

    first, second = checks.findings()

    assert (checks.Level.FAIL, checks.Level.OK) == (first.level, second.level)
    assert "cannot be checked: ValueError: two lines (a mistake of ours)" == first.text
