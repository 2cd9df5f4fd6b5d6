import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord.errors import InvalidPath
from scoord.ids import MachineId
from scoord.names import (
    MOST_PATH_BYTES,
    check_path,
    check_shown,
    is_outside,
    outside_project,
    path_key,
    path_project,
)

# What folds, composes, vanishes or separates, close together.
TRICKY = st.sampled_from(
    "aA\u017fKkßẞSsİiI\u0131éeE\u0301\u0345\u0342άΐ\u200c\u200d\ufeff\u202e.//ﬁΣσς가"
)
PATHS = st.one_of(st.text(), st.text(TRICKY, max_size=30))

SAME = [
    ("src/A.py", "src/a.py"),
    ("STRASSE", "straße"),
    ("\u017f", "s"),
    ("\u212aelvin", "kelvin"),
    ("caf\u00e9", "cafe\u0301"),
    ("CAFE\u0301", "café"),
    ("ΌΣΟΣ", "όσος"),
    ("\u1fb3\u0301", "\u03ac\u03b9"),  # marks in another order than the precomposed letter's
    (".g\u200cit/config", ".git/config"),
    ("a\u200d\ufeff\u202e.py", "a.py"),
    (".Git", ".git"),
]
DIFFERENT = [("a.py", "b.py"), ("a/b", "ab"), ("e", "é"), ("a ", "a"), ("a\\b", "a/b"), ("x.", "x")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_a_file_system_may_take_for_one_have_one_key(one: str, other: str) -> None:
    assert path_key(one) == path_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_names_of_two_files_have_two_keys(one: str, other: str) -> None:
    assert path_key(one) != path_key(other)


@given(PATHS)
def test_the_key_of_a_key_is_that_key(path: str) -> None:
    assert path_key(path) == path_key(path_key(path))


def test_every_character_has_a_key_that_stays() -> None:
    keys = {path_key(chr(code)) for code in range(0x20000)}

    assert keys == {path_key(key) for key in keys}


@given(PATHS)
def test_composed_and_decomposed_spellings_have_one_key(path: str) -> None:
    assert len({path_key(unicodedata.normalize(form, path)) for form in ("NFC", "NFD")}) == 1


@pytest.mark.parametrize(
    "path",
    ["a.py", "src/a.py", "..a/b..", "...", "a b/c", "a\\b", "-rf", "$(x)", "файл", "a\u202eb", "~"],
)
def test_a_path_inside_the_project_is_returned_as_it_is(path: str) -> None:
    assert path == check_shown(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "nothing at position 0"),
        ("/etc/passwd", "not an absolute one"),
        ("a//b", "nothing at position 1"),
        ("a/", "nothing at position 1"),
        ("../a", "'..' at position 0"),
        ("a/../../b", "'..' at position 1"),
        ("a/./b", "'.' at position 1"),
        (".", "'.'"),
        ("a/.\u200d./b", "'..'"),
        ("a/\u200d/b", "nothing"),
        ("a\0b", "control character U+0000 at position 1"),
        ("a\nb", "control character U+000A at position 1"),
        ("a\x1b[31m", "control character U+001B at position 1"),
        ("a\x7f", "control character U+007F at position 1"),
        ("a\x9bm", "control character U+009B at position 1"),
        ("a\ud800", "lone surrogate (not UTF-8) U+D800 at position 1"),
        ("é" * 2049, "4098 bytes; at most 4096 are allowed"),
    ],
)
def test_what_cannot_name_a_file_is_refused_with_its_place(path: str, said: str) -> None:
    with pytest.raises(InvalidPath) as caught:
        check_shown(path)

    assert said in caught.value.message
    assert caught.value.message.isprintable()


def test_a_refusal_quotes_the_neighbourhood_of_a_long_path_only() -> None:
    with pytest.raises(InvalidPath) as caught:
        check_shown("a" * 1000 + "\0" + "b" * 1000)

    assert caught.value.message.startswith("…'aaa")
    assert "bbb'…: control character U+0000 at position 1000" in caught.value.message
    assert len(caught.value.message) < 200


def test_a_path_may_have_the_most_bytes_and_no_more() -> None:
    assert check_shown("a" * MOST_PATH_BYTES)
    with pytest.raises(InvalidPath):
        check_shown("a" * (MOST_PATH_BYTES + 1))


@given(PATHS)
def test_a_path_is_refused_or_stays_inside_whichever_way_it_is_spelled(path: str) -> None:
    try:
        check_shown(path)
    except InvalidPath:
        return
    for spelling in (path, path_key(path)):
        assert not {"", ".", ".."} & set(spelling.split("/"))


def test_outside_any_repository_paths_are_absolute() -> None:
    project = outside_project(MachineId("m1"))

    assert check_path(project, "/etc/hosts") == "/etc/hosts"
    for wrong in ("etc/hosts", "/etc/../x", "//etc", "/", ""):
        with pytest.raises(InvalidPath):
            check_path(project, wrong)


@pytest.mark.parametrize("project", ["github.com/org/name", "root:0a1b", "machine:m1/home/u/repo"])
def test_inside_a_project_paths_are_relative(project: str) -> None:
    assert check_path(project, "etc/hosts") == "etc/hosts"
    with pytest.raises(InvalidPath):
        check_path(project, "/etc/hosts")


def test_a_worktree_named_by_its_place_is_not_the_outside() -> None:
    project = path_project(MachineId("m1"), "/home/u/Repo")

    assert project == "machine:m1/home/u/repo"
    assert not is_outside(project)


def test_a_worktree_at_an_unprintable_place_is_refused() -> None:
    with pytest.raises(InvalidPath):
        path_project(MachineId("m1"), "/home/\n/repo")
