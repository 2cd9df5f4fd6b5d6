"""Lists for people: tables and blocks, at whatever width there is."""

import re
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from scoord_agent.cli.listing import PIPE_COLUMNS, Kind, Listing, broken, columns_of, cut, widths

LONG = "services/authentication/src/main/java/org/example/TokenValidationService.java"
WHO = "alexandra.konstantinou@build-machine-07.example.org"
WHY = "Refactor the authentication logic so that tokens are checked in one place"
COLUMNS = ("file", "session", "who", "held", "why")
KINDS = {
    "file": Kind.PATH,
    "session": Kind.NAME,
    "who": Kind.NAME,
    "held": Kind.WHOLE,
    "what is known": Kind.FACTS,
}


def shown(width: int, rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> list[str]:
    console = Console(width=width, highlight=False, markup=False, emoji=False, record=True)
    with console.capture() as captured:
        console.print(Listing(columns_of(columns, KINDS), rows))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_wider_than_there_is_room_and_no_path_or_age_is_cut(width: int) -> None:
    lines = shown(width, [(LONG, "Session_12", WHO, "1 h 2 min", WHY)])

    assert max(map(len, lines)) <= width
    first = "".join(re.split(" {2,}", line)[0].strip() for line in lines)
    assert LONG in first
    assert any("1 h 2 min" in line for line in lines)
    assert any("Session_12" in line for line in lines)


def test_a_path_goes_on_in_the_next_line_after_a_slash() -> None:
    assert ["src/auth/", "token.py"] == broken("src/auth/token.py", 12)
    assert ["a.py, src/", "auth/b.py"] == broken("a.py, src/auth/b.py", 10)
    assert ["active_session_", "Session_1"] == broken("active_session_Session_1", 20)
    assert ["token_", "validation.py"] == broken("token_validation.py", 18)
    assert ["abcde", "fgh"] == broken("abcdefgh", 5)
    assert ["one two", "three"] == broken("one two three", 7)
    assert ["one", "two"] == broken("one\ntwo", 10)
    assert ["one", "two three"] == broken("one two three", 9, label=4)


@pytest.mark.parametrize("width", range(1, 20))
def test_the_narrowest_terminal_is_wide_enough(width: int) -> None:
    lines = shown(width, [("src/a.py", "Session_1", WHO, "6 min", "one two")])

    assert max(map(len, lines)) <= width
    told = "".join("".join(lines).split())
    assert "src/a.py" in told
    assert "why:onetwo" in told


@pytest.mark.parametrize("width", [1, 2, 9, 12])
def test_wide_characters_take_the_room_that_they_need(width: int) -> None:
    path = "\u6587\u4ef6/\u529f\u80fd\u5206\u652f/\u6587\u4ef6.py"
    lines = broken(path, width)

    assert path == "".join(lines)
    assert all(cell_len(line) <= max(width, 2) for line in lines)


def test_wide_characters_break_where_others_do() -> None:
    assert ["\u6587\u4ef6/", "\u529f\u80fd"] == broken("\u6587\u4ef6/\u529f\u80fd", 7)
    assert ["\u6587\u4ef6 a", "\u529f\u80fd"] == broken("\u6587\u4ef6 a \u529f\u80fd", 8)
    assert ["\u6587\u4ef6", "\u529f\u80fd"] == broken("\u6587\u4ef6\u529f\u80fd", 5)


def test_behind_a_label_that_takes_the_line_words_begin_in_the_next() -> None:
    assert ["", "one", "two"] == broken("one two", 4, label=4)


def test_a_name_keeps_its_end_by_which_it_is_told_apart() -> None:
    assert "Session_1" == cut("Session_1", 9)
    assert "Sessio…e-1f2e" == cut("Session_1 general-purpose-1f2e", 13)
    first, second = (f"\u529f\u80fd\u5206\u652f{number}" for number in "12")
    assert first == cut(first, 9)
    assert "\u529f\u80fd\u2026\u652f2" == cut(second, 8)
    assert "\u529f\u2026\u652f1" == cut(first, 7)
    assert "\u2026" == cut(first, 1)
    assert "\u2026" == cut(first, 0)


def test_the_path_gets_the_room_before_names_and_names_before_reasons() -> None:
    kinds = (Kind.PATH, Kind.NAME, Kind.WHOLE, Kind.TEXT)
    assert [80, 11, 9, 12] == widths((80, 50, 9, 90), kinds, 80 + 11 + 9 + 12 + 6)
    assert [80, 50, 9, 20] == widths((80, 50, 9, 90), kinds, 80 + 50 + 9 + 20 + 6)
    assert [8, 9, 9, 5] == widths((8, 9, 9, 5), kinds, 200)


def test_where_a_table_would_have_to_be_cut_up_each_row_is_a_block() -> None:
    assert [
        "services/authentication/src/main/java/",
        "org/example/TokenValidationService.java",
        "  session: Session_12",
        "  who: bob@mini",
        "  held: 6 min",
        "  why: Refactor the authentication logic",
        "    so that tokens are checked in one",
        "    place",
    ] == shown(40, [(LONG, "Session_12", "bob@mini", "6 min", WHY)])


def test_a_block_leaves_out_what_there_is_nothing_of_and_keeps_the_lines_of_facts() -> None:
    row = ("a.py", "note", "one\ntwo and three", "")
    assert ["a.py", "  type: note", "  what is known: one", "    two and three"] == shown(
        20, [row], ("file", "type", "what is known", "why")
    )


def test_what_somebody_wrote_takes_three_lines_at_most() -> None:
    long = " ".join(["word"] * 100)
    lines = shown(60, [("a.py", "Session_1", "a@b", "1 s", long)])
    assert 3 == len([line for line in lines if "word" in line])
    assert lines[-1].endswith("…")


def test_in_a_pipe_every_line_is_whole() -> None:
    path, long = "/".join(["folder"] * 40), " ".join(["word"] * 100)
    head, _, *lines = shown(
        PIPE_COLUMNS,
        [(path, "Session_1", WHO, "1 s", long), ("a.py", "Session_2", "a@b", "1 min", "")],
    )
    assert [path, "Session_1", WHO, "1 s", long] == re.split(" {2,}", lines[0])
    assert ["a.py", "Session_2", "a@b", "1 min"] == re.split(" {2,}", lines[1])
    assert head.index("held") == lines[1].index("1 min") < 240, "below each other"


def test_in_a_pipe_facts_begin_below_each_other() -> None:
    facts = ("entity", "what is known")
    _, _, *lines = shown(PIPE_COLUMNS, [("a.py", "one\ntwo"), ("src/b.py", "three")], facts)
    assert ["a.py      one", "          two", "src/b.py  three"] == lines
