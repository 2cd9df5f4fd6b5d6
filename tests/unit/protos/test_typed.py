"""What is told to be typed means what was meant, wherever it is shown and typed."""

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoord.text import one_line
from scoord.typed import as_typed, words_of

ODD = [
    "a.py",
    "my file.py",
    "two  spaces   .py",
    "no\u00a0break.py",
    "zero\u200dwidth.py",
    "right\u202eleft.py",
    "it's\\ $(rm a) `b`.py",
    "<b>.py",
    "caf\u00e9.py",
    "cafe\u0301.py",
    "-f",
    "--force",
    " lead and trail ",
    "x" * 4000,
    "esc\x1b[31m\n.py",
    "\u65e5\u672c\u8a9e  \u00a0.py",
    "src/**/[a-z]?.py",
    "caf\udce9.py",
]
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize("path", ODD)
def test_a_shell_reads_the_very_path(path: str) -> None:
    script = f"printf '%s\\0' {as_typed([path])}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=20, check=True)

    *options, read, _ = done.stdout.split(b"\0")
    assert path.encode(errors="surrogateescape") == read
    assert options == ([b"--"] if path.startswith("-") else [])


@given(st.lists(st.one_of(st.sampled_from(ODD), NAMES), min_size=1, max_size=4))
def test_what_is_told_is_one_harmless_line_and_is_read_back(paths: list[str]) -> None:
    told = as_typed(paths)

    assert told == one_line(told, len(told) + 1)
    assert paths == [word for word in words_of(told) if word != "--" or word in paths]


@given(st.lists(st.text("a $'\"\\\n", min_size=1, max_size=6), min_size=1, max_size=4))
@example(["a $", " b"])
@example(['" $', "x' "])
def test_what_is_told_of_paths_full_of_quotes_is_read_back(paths: list[str]) -> None:
    assert paths == words_of(as_typed(paths))


def test_a_plain_path_is_told_as_it_is() -> None:
    assert "a.py 'my file.py' 'café.py'" == as_typed(["a.py", "my file.py", "café.py"])


def test_only_what_is_odd_in_a_path_is_escaped() -> None:
    assert r"$'a\x20 b\xc2\xa0\x27\x5c\x3c.py'" == as_typed(["a  b\u00a0'\\<.py"])


def test_what_is_escaped_begins_outside_of_other_quotes_only() -> None:
    assert ["a $", " b", "c"] == words_of(r"""'a $' ' b' $'\x63'""")
    assert ['$ "', "it's"] == words_of(r"""$\ \" $'it\'s'""")


def test_words_with_a_lone_quote_are_cut_at_spaces() -> None:
    assert ["it's.py", "b"] == words_of("it's.py b")
