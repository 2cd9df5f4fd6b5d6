"""What people and models read of work that they may do: why it is suggested.

As in ``wording.py``: every text is shown on one line, stripped and bounded.
"""

from collections.abc import Sequence

from scoord.text import age, one_line, quote
from scoord_agent.knowledge.ranking import Ranked
from scoord_agent.knowledge.related import How, Related

ELSEWHERE = "work on something else until then; `scoord suggest` says what is free."


def instead(one: Related) -> str:
    """A related file that is free, and why it is suggested."""
    path = one_line(one.path)
    match one.how:
        case How.NAMING:
            return f"{path} is free and belongs to it."
        case How.CHANGES:
            return f"{path} is free and changes with it in {one.together} of {one.of} commits."
        case How.IMPORTS:
            return f"{path} is free and imports it."
        case How.IMPORTED:
            return f"{path} is free and is imported by it."
        case How.AREA:
            return f"{path} is free and in the same area ({one_line(one.area, 60)})."


def reasons(one: Ranked, *, has_intent: bool) -> list[str]:
    """Why a piece of work is suggested, and what speaks against it; a line each."""
    work, collision = one.work, one.collision
    said = [_taken(one)]
    if collision.doer:
        said.append(f"{one_line(collision.doer, 60)} says that it does this")
    if collision.worker:
        said.append(f"{one_line(collision.worker, 60)} works in its area")
    if collision.co_change >= _WORTH_SAYING:
        percent = round(100 * collision.co_change)
        said.append(f"what others hold has changed with its files in {percent} % of commits")
    if collision.imports:
        said.append("imports link it with files that others hold")
    if work.because:
        said.append(one_line(work.because))
    elif has_intent and one.fit >= _FITS:
        said.append("fits what you are about to do")
    return [line for line in said if line] or ["nobody says that they do it"]


def in_the_way(one: Ranked) -> str:
    """What speaks most against a piece of work: who is in the way of it, and how."""
    collision = one.collision
    if collision.doer:
        return f"{one_line(collision.doer, 60)} says that it does this"
    if collision.shared:
        holder, count = one_line(collision.holder, 60), len(collision.shared)
        held = "its file" if collision.of == 1 else f"{count} of its {collision.of} files"
        return f"{holder if count == 1 else 'others'} {'holds' if count == 1 else 'hold'} {held}"
    if collision.worker:
        return f"{one_line(collision.worker, 60)} works in its area"
    return "what others hold often changes with its files"


def at_start(one: Ranked, description: str, *, has_intent: bool, kept_s: float) -> str:
    """What a session may do that has just started, and why."""
    what = f"area {area(one, description)}" if one.work.kind == "area" else _task(one)
    said = "; ".join((what, *reasons(one, has_intent=has_intent)))
    kept = f"It is kept for this session for {age(kept_s)}."
    return f"Suggestion, if there is nothing else to do: {said}. {kept}"


def no_such_area(named: str, there: Sequence[str]) -> str:
    """That an area is not one of those that are there, and which are."""
    shown = [one_line(name, 60) for name in there[:_MOST_AREAS]]
    more = f" and {len(there) - len(shown)} more" if len(there) > len(shown) else ""
    areas = f"there are: {', '.join(shown)}{more}" if shown else "there is none; leave it out"
    return f"no area here is called {one_line(named, 60)!r}; {areas}"


def missed(task_id: str) -> str:
    """That the task on which a session works is kept for another."""
    name = one_line(task_id, 60)
    return (
        f"Task {name}, on which you work, was suggested to another session meanwhile:"
        " `scoord task list` says for whom it is kept."
    )


def area(one: Ranked, description: str) -> str:
    """A free area, with what it is."""
    name = one_line(one.work.name, 60)
    return f"{name} ({one_line(description, 80)})" if description else name


def _task(one: Ranked) -> str:
    return f"task {one_line(one.work.name, 60)}, {quote(one.work.title, 120)}"


_WORTH_SAYING = 0.1
_FITS = 0.4
_MOST_AREAS = 12


def _taken(one: Ranked) -> str:
    count, shared = one.collision.of, len(one.collision.shared)
    if not count:
        return ""
    if shared:
        return f"others hold {shared} of its {count} files"
    if count > 1:
        nobody = "nobody else" if one.work.mine else "nobody"
        return f"{nobody} holds any of its {count} files"
    if one.work.mine:
        return "you hold its file"
    return "it is free" if one.work.kind == "file" else "its file is free"
