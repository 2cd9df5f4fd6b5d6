import json
import re
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord.text import escaped, failure, one_line, quote

CORPUS = json.loads((Path(__file__).parent / "data" / "injections.json").read_text("utf-8"))
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e0fff<>]"
)
ACTIVE = (
    "\x1b\x9b\x9d[]m;?0\\\x07\x9c<>\"'\u201d\n\r\t \u3000\u200d\u202e\ufe0f\u0301\u1100\u1161\ud800"
)
PARTS = ["\x1b[31m", "\x1b]0;", "\x1b\\", "\U000e0041", "word", "é", "e\u0301", "…"]
HOSTILE = st.sampled_from([*ACTIVE, *PARTS])
TEXTS = st.one_of(st.text(), st.lists(HOSTILE, max_size=60).map("".join))


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["name"])
def test_an_injection_is_shown_as_the_golden_file_says(case: dict[str, str]) -> None:
    assert case["shown"] == one_line(case["payload"])


def test_the_corpus_is_large_and_each_payload_is_another() -> None:
    assert len(CORPUS) == len({case["payload"] for case in CORPUS}) >= 50


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["name"])
def test_an_injection_stays_inside_its_quotes(case: dict[str, str]) -> None:
    framed = quote(case["payload"])

    assert framed[0] == framed[-1] == '"'
    assert not re.search('["\u201c\u201d\u201e\u201f\uff02<>\n]', framed[1:-1])


@given(TEXTS)
def test_no_text_keeps_a_character_that_acts_or_hides(text: str) -> None:
    assert not UNSAFE.search(one_line(text))


BEGUN_ONCE_MORE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])(?:[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c))?"
    "|\x1b[ -/]*[0-~]"
)
"""What goes, written plainly: each introducer looks for an end of its own."""


@given(st.text(st.sampled_from("\x1b\x9b\x9d\x90[]P0;m\\\x07\x9c a")))
def test_all_terminal_sequences_go_and_a_string_without_an_end_is_shown(text: str) -> None:
    shown = re.sub("[\x00-\x1f\x7f-\x9f]", "", BEGUN_ONCE_MORE.sub("", text))

    assert " ".join(shown.split()) == one_line(text)


@pytest.mark.parametrize(
    "part",
    [
        "\x9d",
        "\x1b]",
        "\x1bP\x9d",
        "\x9d\x9b",
        "\x9b0",
        "\x1b[0",
        "\x1b ",
        "\u0301\u0327",
        "\u0f73",
    ],
)
@pytest.mark.parametrize("end", ["", "\x07"])
def test_no_text_takes_more_than_its_length_to_read(part: str, end: str) -> None:
    """Each introducer looked for an end up to that of the text: 10 s for 64 kB of them."""
    begun = time.process_time()

    one_line(f"a{part * 31_000}{end}", 2000)

    assert time.process_time() - begun < 0.5


@given(TEXTS)
def test_a_line_is_encodable_composed_and_has_single_spaces(text: str) -> None:
    line = one_line(text)

    assert line == unicodedata.normalize("NFC", line)
    assert line == " ".join(line.split())
    assert line.encode().decode() == line


@given(TEXTS)
def test_json_that_is_escaped_is_the_same_json_and_holds_nothing_that_acts_or_hides(
    text: str,
) -> None:
    for indent in (None, 2):
        written = escaped(json.dumps({text: [text]}, ensure_ascii=False, indent=indent))

        assert {text: [text]} == json.loads(written)
        assert not UNSAFE.search(written.replace("\n", ""))


def test_json_that_is_escaped_keeps_what_people_read() -> None:
    assert '{"a": "größer 文 \\u202e"}' == escaped('{"a": "größer 文 \u202e"}')


def test_a_failure_is_one_line_of_which_no_more_is_kept_than_anyone_reads() -> None:
    assert "no 'ab' here" == failure("no 'a\x1b[31mb' here")
    assert 2000 == len(failure("x" * 100_000))


@given(TEXTS, st.integers(1, 50))
def test_a_line_is_never_longer_than_asked(text: str, limit: int) -> None:
    assert len(one_line(text, limit)) <= limit


@given(TEXTS, st.integers(1, 50))
def test_a_line_comes_out_of_a_second_pass_as_it_is(text: str, limit: int) -> None:
    once = one_line(text, limit)

    assert once == one_line(once, limit)


@given(st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)))
def test_ordinary_words_stay_as_they_are(words: list[str]) -> None:
    text = " ".join(words)

    assert text == one_line(text, limit=len(text) + 1)


@pytest.mark.parametrize(
    "text", ["Überprüfung der Anmeldung", "修正登录", "исправить вход", "🐍 tests"]
)
def test_words_of_any_language_stay_as_they_are(text: str) -> None:
    assert text == one_line(text)


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    assert one_line("abcdefgh", limit=5) == "abcd…"
    assert one_line("abcde", limit=5) == "abcde"


def test_a_cut_leaves_no_space_before_the_ellipsis() -> None:
    assert one_line("abc defgh", limit=5) == "abc…"


def test_a_huge_text_is_not_read_to_its_end() -> None:
    assert one_line("\u200b" * 10_000_000 + "hidden") == "…"


def test_a_quoted_text_has_no_double_quote_inside() -> None:
    assert quote('say "yes"') == "\"say 'yes'\""
