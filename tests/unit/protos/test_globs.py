"""Whether two patterns can match one path."""

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoord.globs import may_meet

WITH_STARS = st.text("ab*?", min_size=1, max_size=8)
LISTS = st.lists(st.sampled_from(["a", "b", "a*", "*b", "?", "**"]), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("*" + "a" * 130) * 3, ("*" + "a" * 130) * 3),
        ("*" + "ab" * 60 + "*" + "ba" * 60 + "*" + "a" * 120, "*" + "a" * 390),
        ("**/" + "?/" * 195 + "a.b", "**/" + "?/" * 195 + "a.c"),
    ],
)
def test_long_patterns_are_soon_compared(one: str, other: str) -> None:
    began = time.monotonic()
    for last in "xyz":
        may_meet(f"{one}{last}", f"{other}{last}")
        may_meet(f"{one}{last}", other)

    assert time.monotonic() - began < 1.0


@given(WITH_STARS, WITH_STARS)
def test_names_meet_as_the_plain_definition_says(one: str, other: str) -> None:
    assume("**" not in (one, other))

    assert same(one, other) == may_meet(f"/{one}.py", f"/{other}.py")


@given(LISTS, LISTS)
def test_lists_of_names_meet_as_the_plain_definition_says(one: list[str], other: list[str]) -> None:
    expected = listed([*one, "z.py"], [*other, "z.py"])

    assert expected == may_meet(f"/{'/'.join(one)}/z.py", f"/{'/'.join(other)}/z.py")


def same(one: str, other: str) -> bool:
    """Whether some name is matched by both, by trying all ways there are."""
    if not one or not other:
        return set(one + other) <= {"*"}
    if one[0] == "*":
        return same(one[1:], other) or same(one, other[1:])
    if other[0] == "*":
        return same(other, one)
    return (one[0] == other[0] or "?" in (one[0], other[0])) and same(one[1:], other[1:])


def listed(one: list[str], other: list[str]) -> bool:
    """As ``same``, of whole lists."""
    if not one or not other:
        return set(one + other) <= {"**"}
    if one[0] == "**":
        return listed(one[1:], other) or listed(one, other[1:])
    if other[0] == "**":
        return listed(other, one)
    return same(one[0], other[0]) and listed(one[1:], other[1:])
