"""Whether two patterns can match one path."""

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoord.errors import InvalidConfig
from scoord.globs import literal_prefix, may_meet
from scoord.patterns import check_reservable, matches

WITH_STARS = st.text("ab*?", min_size=1, max_size=8)
LISTS = st.lists(st.sampled_from(["a", "b", "a*", "*b", "?", "**"]), min_size=1, max_size=6)
HOSTILE_NAME = st.text(r"ab[]!*?\ ", min_size=1, max_size=5)
BETWEEN = st.sampled_from(["/", "/", "[!c]", "[^]c]", "[+-9]"])
"""What a slash may be matched by: none but itself."""


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (r"app/\[id]/**/*.tsx", "app/*id*/**", True),
        (r"app/\[id\]/**/*.tsx", r"app/\[slug\]/**/*.tsx", False),
        (r"app/\[id\]/a", "app/[ix]/a", False),
        (r"app/\[*/a", "app/[[]id/a", True),
        ("app/[id]/a", "app/x/a", True),  # a class counts as any one character
        (r"a\*b/c", "axb/c", True),  # so does a star that is none
        (r"a\\b/c", r"a\\*/c", True),
        (r"a/b\ ", r"a/b\ *", True),
        (" a/b", "a/b", False),
        ("a/b ", "A/b", True),
    ],
)
def test_what_a_backslash_takes_the_meaning_from_stands_for_itself(
    one: str, other: str, *, meet: bool
) -> None:
    assert (meet, meet) == (may_meet(one, other), may_meet(other, one))


def test_a_folder_whose_name_begins_with_a_space_is_that_folder() -> None:
    assert " a/" == literal_prefix(" a/*")


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


# Python warns of a bracket in a class, though it takes it as git does.
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@given(st.data())
def test_patterns_that_match_one_path_may_meet(data: st.DataObject) -> None:
    path = data.draw(st.lists(HOSTILE_NAME, min_size=1, max_size=3))
    patterns = [data.draw(pattern_of_path(path)) for _ in "12"]
    for pattern in patterns:
        assume(is_taken(pattern) and matches(pattern, "/".join(path)))

    assert may_meet(*patterns)


@pytest.mark.parametrize("one_character", ["[!a]", "[^a]", "[!]a]", "[+-9]", "[!a-]", "[!^]"])
def test_a_class_is_one_character_of_a_name_and_never_a_slash(one_character: str) -> None:
    pattern = check_reservable(f"/src{one_character}x[.]py")

    assert matches(pattern, "src7x.py")
    assert not matches(pattern, "src/x.py")
    assert not may_meet(pattern, "src/**")


def test_a_bracket_behind_a_backslash_begins_no_class() -> None:
    assert matches(r"a\[!b]/**/c?/[!d]", "a[!b]/x/cc/e")


def pattern_of_path(names: list[str]) -> st.SearchStrategy[str]:
    """A pattern that matches the path, unless a class stands between its names."""
    first, *rest = map(pattern_of, names)
    further = (st.tuples(BETWEEN, each).map("".join) for each in rest)
    return st.tuples(first, *further).map("".join)


def pattern_of(name: str) -> st.SearchStrategy[str]:
    """A pattern that matches the name, for the most part."""
    parts = [st.sampled_from([char, f"\\{char}", f"[{char}]", "?", "*", "[!c]"]) for char in name]
    return st.just("**") | st.tuples(*parts).map("".join)


def is_taken(pattern: str) -> bool:
    """Whether it is one that can be held."""
    try:
        return bool(check_reservable(pattern))
    except InvalidConfig:
        return False


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
