"""Texts that mean harm, through the one function that all of them pass."""

import pytest

from scoord.text import one_line, quote
from support.hostile import TEXTS, harm_in


def test_there_are_at_least_fifty_and_no_two_are_the_same() -> None:
    assert len(TEXTS) >= 50
    assert len(set(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:30]))
def test_a_hostile_text_becomes_one_bounded_line_of_data(text: str) -> None:
    assert "" == harm_in(one_line(text), longest=200)
    assert "" == harm_in(quote(text), longest=202)
    assert 2 == quote(text).count('"')


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:30]))
def test_most_of_them_do_carry_harm_before(text: str) -> None:
    """The judge is not blind: what it calls harmless is harmless on its face."""
    harmless = text.isprintable() and len(text) <= 200 and not set("<>") & set(text)

    assert harmless == (not harm_in(text, longest=200))
