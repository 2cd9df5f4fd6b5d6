"""Whether somebody's words mean a task. Pure."""

from collections.abc import Mapping
from functools import lru_cache

from rapidfuzz import fuzz, utils

_ALIKE = 90.0
_MOST_SAID = 400
"""Characters of a text: further down it says something else."""
_ENOUGH = 0.75
_TELLING = 4
"""Letters of a word that says something."""
_FEW = 2
"""A title of fewer telling words, as "the tests", is in many a text that means something else."""


def as_compared(said: str) -> str:
    """What a text is compared by: its words alone, in lower case."""
    return utils.default_process(said[:_MOST_SAID])


def who_means(title: str, said: Mapping[str, str]) -> str:
    """Who of those whose words, as compared, are ``said`` means the task of that title; or nobody.

    They mean it when they say all of its words, or nearly. Who says far fewer words than it
    has, as "fix" alone, may mean any; and so may all that is said of one with few words,
    but these words alone.
    """
    words = as_compared(title)
    telling = _telling(words)
    if len(telling) < _FEW:
        return said.get(words, "")
    return next((who for each, who in said.items() if _is_alike(each, words, telling)), "")


def means(said: str, title: str) -> bool:
    """Whether a text means the task of that title."""
    return bool(who_means(title, {as_compared(said): "it"}))


def _is_alike(said: str, words: str, telling: frozenset[str]) -> bool:
    """Most texts have hardly a word in common: only the rest is compared more closely."""
    return (
        2 * len(telling & _telling(said)) >= len(telling)
        and len(said.split()) >= _ENOUGH * len(words.split())
        and fuzz.token_set_ratio(said, words) >= _ALIKE
    )


@lru_cache(2048)
def _telling(words: str) -> frozenset[str]:
    return frozenset(word for word in words.split() if len(word) >= _TELLING)
