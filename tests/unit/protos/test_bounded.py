"""A dict that does not grow for ever."""

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
