"""Variables that are nearly one of ours."""

import pytest

from scoord.variables import misspelt


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SCOORD_CONFLICT_ACTON", "SCOORD_CONFLICT_ACTION"),
        ("SCOORD_COORDINATOR_ADDRESS", "SCOORD_COORDINATOR_ADDRESSES"),
        ("SCOORD_HISTORY_LINE", "SCOORD_HISTORY_LINES"),
        ("SCOORD_LEASE_TTL", "SCOORD_LEASES_TTL"),
        ("SCOORD_STATEDIR", "SCOORD_STATE_DIR"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_told_with_it(name: str, meant: str) -> None:
    assert list(misspelt({name: "x", "PATH": "/bin"})) == [(name, meant)]


@pytest.mark.parametrize("name", ["SCOORD_LEASES_TTL", "SCOORD_INTENT", "SCOORD_TEST_BASH", "HOME"])
def test_a_variable_that_is_ours_or_clearly_not_is_passed_over(name: str) -> None:
    assert list(misspelt({name: "x"})) == []
