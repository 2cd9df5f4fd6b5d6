"""What a session could do next: the tasks, areas and files of its repository. Pure."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePosixPath

from rapidfuzz import fuzz, process, utils

from scoord.names import path_key
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent.knowledge.areas import Area, Areas
from scoord_agent.knowledge.meant import as_compared
from scoord_agent.knowledge.mentions import Mentions
from scoord_agent.knowledge.ranking import Collision, Others, Ranked, Work, below
from scoord_agent.knowledge.repository import Knowledge

_MOST_FILES = 12
"""Files that are looked at as work of their own."""
_TELLING = 12
"""Files of an area whose names say what it is about."""
_ALIKE = 70.0
_MOST_COMPARED = 5000


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that is not done, from the coordinator or from a file."""

    task_id: str
    title: str
    area: str = ""
    topics: tuple[str, ...] = ()


def others_of(
    session_id: str,
    sessions: Iterable[Session],
    locks: Iterable[Lock],
    offered: frozenset[tuple[str, str]] = frozenset(),
) -> Others:
    """What all sessions but ``session_id`` have and do."""
    others = [session for session in sessions if session.session_id != session_id]
    theirs = [lock for lock in locks if lock.holder.session_id != session_id]
    return Others(
        held={path_key(k.path): k.holder.alias for k in theirs if not k.is_pattern},
        patterns=tuple((k.path, k.holder.alias) for k in theirs if k.is_pattern),
        areas={name: session.alias for session in others for name in session.areas},
        intents={as_compared(each.intent): each.alias for each in others if each.intent},
        offered=offered,
    )


def works(
    knowledge: Knowledge,
    areas: Areas,
    tasks: Iterable[OpenTask],
    own: Sequence[str],
    intent: str,
    *,
    own_patterns: Iterable[str] = (),
) -> list[Work]:
    """Everything there is to do. ``own`` are the keys of the files that the session holds."""
    mine = {*own, *below(own_patterns, knowledge)}
    tasks_and_areas = (
        *(_of_task(task, knowledge.mentions, areas) for task in tasks),
        *_of_areas(areas, knowledge),
    )
    return [
        *(replace(work, mine=work.files & mine) for work in tasks_and_areas),
        *_of_files(knowledge, areas, own, intent, mine),
    ]


def wholly_free(found: Iterable[Ranked]) -> list[Ranked]:
    """What nobody else holds a file of, or says to work in or to do.

    Who works in the area of a task that names its files may do without these.
    """

    def is_free(of: Collision) -> bool:
        is_worked_in = of.worker and (not of.is_named or of.is_probable)
        return not (of.shared or is_worked_in or of.doer)

    return [one for one in found if is_free(one.collision)]


def avoiding(found: Sequence[Ranked]) -> Sequence[Ranked]:
    """What probably meets nobody; where there is no such work, all that others have not whole."""
    clear = [one for one in found if not one.collision.is_probable]
    return clear or [one for one in found if not one.collision.is_certain]


def left_out(found: Sequence[Ranked], kept: Sequence[Ranked]) -> list[Ranked]:
    """The tasks and areas of what was found that others are in the way of, but for ``kept``.

    Tasks first: somebody wrote them down; of each kind what fits best.
    """
    met = (one for one in found if one.collision.is_probable and one not in kept)
    told = (one for one in met if one.work.kind != "file")
    return sorted(told, key=lambda one: (one.work.kind != "task", -one.fit))


def tasks_first(found: Sequence[Ranked], of: Iterable[Work]) -> list[Ranked]:
    """What was found best of works; areas that have open tasks after all that meets nobody.

    Work there is the task: who is given the area beside it would meet who has that. What
    meets others already comes after both, whatever its score.
    """
    with_tasks = {name for work in of if work.kind == "task" for name in work.areas}

    def is_late(one: Ranked) -> tuple[bool, bool]:
        is_of_tasks = one.work.kind == "area" and one.work.name in with_tasks
        return one.collision.is_probable, is_of_tasks

    return sorted(found, key=is_late)


def _of_areas(areas: Areas, knowledge: Knowledge) -> list[Work]:
    """Every area, with how much happens in it."""
    changes = knowledge.cochange.changes
    lives = [sum(changes.get(key, 0) for key in area.files) for area in areas.all]
    most = max(lives, default=0) or 1
    return [
        _of_area(area, knowledge, life / most if any(lives) else 1.0)
        for area, life in zip(areas.all, lives, strict=True)
    ]


def _of_area(area: Area, knowledge: Knowledge, life: float) -> Work:
    changes = knowledge.cochange.changes
    most = sorted(area.files, key=lambda key: (-changes.get(key, 0), key))[:_TELLING]
    stems = " ".join(PurePosixPath(key).stem.replace("_", " ") for key in most)
    words = re.sub(r"[/_:-]", " ", area.name)
    return Work(
        kind="area",
        name=area.name,
        title=area.name,
        text=f"{words} {area.description} {stems}",
        files=area.files,
        areas=(area.name,),
        life=life,
    )


def _of_task(task: OpenTask, mentions: Mentions, areas: Areas) -> Work:
    named = areas.among((task.area, *task.topics))
    said = mentions.of(task.title)
    files = said or (named.files if named else frozenset())
    where = (named.name,) if named else tuple(areas.of_all(files)[:2])
    return Work(
        kind="task",
        name=task.task_id,
        title=task.title,
        text=" ".join((*where, *task.topics)),
        files=files,
        named=said,
        areas=where,
    )


def _of_files(
    knowledge: Knowledge, areas: Areas, own: Sequence[str], intent: str, mine: Container[str]
) -> Iterator[Work]:
    """Files close to what the session holds; where it holds nothing, by its words.

    None is of ``mine``, and those do not count: else they might leave no room for others.
    """
    found: dict[str, tuple[float, str]] = {}
    for key in own:
        for partner in knowledge.cochange.of(key):
            _keep(found, partner.path, partner.closeness, f"changes with {_shown(knowledge, key)}")
        for path in knowledge.imports.neighbours(key):
            _keep(found, path, 0.4, f"linked by an import with {_shown(knowledge, key)}")
    if not found and intent:
        found = dict.fromkeys(_alike(knowledge, intent, mine), (0.0, ""))
    others = ((path, how) for path, how in found.items() if path_key(path) not in mine)
    best = sorted(others, key=lambda each: (-each[1][0], each[0]))
    for path, (closeness, because) in best[:_MOST_FILES]:
        key = path_key(path)
        words = knowledge.telling.of(key)
        files = frozenset({key})
        where = areas.of(key)
        yield Work("file", path, path, words, files, where, closeness=closeness, because=because)


def _keep(found: dict[str, tuple[float, str]], path: str, closeness: float, why: str) -> None:
    if closeness > found.get(path, (0.0, ""))[0]:
        found[path] = (closeness, why)


def _alike(knowledge: Knowledge, intent: str, mine: Container[str]) -> list[str]:
    files = islice(knowledge.files.items(), _MOST_COMPARED)
    names = {path: knowledge.telling.of(key) for key, path in files if key not in mine}
    best = process.extract(
        intent,
        {path: words for path, words in names.items() if words},
        scorer=fuzz.token_set_ratio,
        processor=utils.default_process,
        limit=_MOST_FILES,
        score_cutoff=_ALIKE,
    )
    return [path for _, _, path in best]


def _shown(knowledge: Knowledge, key: str) -> str:
    return knowledge.files.get(key, key)
