"""A dict that does not grow for ever."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

from scoord.bounded import BoundedDict


def test_the_oldest_is_forgotten() -> None:
    kept = BoundedDict[str, int](2)
    for number, key in enumerate("abc"):
        kept[key] = number

    assert {"b": 1, "c": 2} == kept


def test_what_is_set_again_is_young_again() -> None:
    kept = BoundedDict[str, int](2)
    for number, key in enumerate("abac"):
        kept[key] = number

    assert {"a": 2, "c": 3} == kept


def test_several_threads_may_use_it() -> None:
    kept = BoundedDict[int, int](8)

    def use(start: int) -> None:
        for number in range(start, start + 2_000):
            kept[number % 50] = number
            kept.pop(number % 7, None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))

    assert len(kept) <= 8


def test_to_forget_one_takes_no_memory() -> None:
    """A copy of all keys each time leaves holes in the heap of a program that runs for weeks."""
    kept = BoundedDict[int, None](2_000)
    for number in range(4_000):
        kept[number] = None
    tracemalloc.start()
    try:
        for number in range(4_000, 4_100):
            kept[number] = None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8_000, "the keys alone are 16,000"
