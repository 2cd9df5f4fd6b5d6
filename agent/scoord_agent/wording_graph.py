"""What is said where a graph cannot be changed as somebody wants it.

As everywhere, what another session wrote is shown on one line, stripped and bounded.
"""

from collections.abc import Iterable

from scoord.text import age, one_line

DELETED = "deleted from the graph"
"""Why a lock was broken, when its entity was deleted and nobody said more."""


def is_over(name: str, leaves_in_s: float) -> str:
    """Why the entity of a session that has ended stays yet."""
    return (
        f"{one_line(name)} has ended already, and leaves the graph by itself in"
        f" {age(leaves_in_s)}. Nothing was deleted."
    )


def not_deletable(name: str, entity_type: str) -> str:
    """Why an entity that follows from the state stays, and what ends it."""
    what = {
        "active_session": (
            "is a session, not a note: it ends when its coding CLI ends, or when it has been idle"
            " for session_timeout, and leaves the graph five minutes later. To free a file that it"
            " holds, delete the lock's entity, or run `scoord unlock --force FILE`"
        ),
        "area": "is a part of the repository, or is worked on: it goes when it is not any more",
        "task": (
            "is finished with `scoord task done`, or taken off with `scoord task remove`; one of a"
            " file is ticked off there"
        ),
    }.get(entity_type, "follows from what sessions do, and is changed by them")
    return f"{one_line(name)} {what}. Nothing was deleted."


def changed_hands(name: str, facts: Iterable[str]) -> str:
    """Why a lock is not broken that was shown, and is another's now."""
    held = "; ".join(one_line(fact, 80) for fact in list(facts)[:4])
    return (
        f"{one_line(name)} has changed hands since it was shown, and was left as it is."
        f" Now: {held}. Delete it again if you mean this one."
    )


def several_files(name: str) -> str:
    """Why a lock is not broken whose name, as it is shown, is that of several files."""
    return (
        f"{one_line(name)} stands for several files whose names look alike; break the one that"
        " you mean with `scoord unlock --force FILE`. Nothing was deleted."
    )


def derived_facts(name: str) -> str:
    """Why facts that follow from the state stay."""
    return (
        f"{one_line(name)} follows from what sessions do: its observations change with that, and"
        " cannot be deleted. Nothing was deleted."
    )


def derived_relation(source: str, relation_type: str, target: str) -> str:
    """Why a relation that follows from the state stays."""
    relation = f"{one_line(source, 80)} {one_line(relation_type, 40)} {one_line(target, 80)}"
    return (
        f"{relation} follows from what sessions do, and ends with it. Nothing was deleted."
        " To free a file, delete its lock's entity."
    )
