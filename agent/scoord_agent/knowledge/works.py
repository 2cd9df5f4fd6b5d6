"""What a session could do next: the tasks, areas and files of its repository. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rapidfuzz import fuzz, process, utils

from scoord.names import path_key
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent.knowledge.areas import Area, Areas
from scoord_agent.knowledge.ranking import Others, Ranked, Work, ranked
from scoord_agent.knowledge.repository import Knowledge

_MOST_FILES = 12
"""Files that are looked at as work of their own."""
_TELLING = 12
"""Files of an area whose names say what it is about."""
_ALIKE = 70.0
_MOST_COMPARED = 5000
_WORD = re.compile(r"[\w./-]{3,}")


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that is not done, from the coordinator or from a file."""

    task_id: str
    title: str
    area: str = ""
    topics: tuple[str, ...] = ()


class Mentions:
    """Finds the files that a text names by their path or their name."""

    def __init__(self, files: Iterable[str]) -> None:
        """``files`` are keys."""
        self._by_name: dict[str, list[str]] = {}
        for key in files:
            self._by_name.setdefault(key.rpartition("/")[2], []).append(key)

    def of(self, text: str) -> frozenset[str]:
        """The keys of the files that ``text`` names."""
        words = (path_key(word.strip("./")) for word in _WORD.findall(text))
        return frozenset(
            key
            for word in words
            for key in self._by_name.get(word.rpartition("/")[2], ())
            if key == word or key.endswith(f"/{word}")
        )


def others_of(
    session_id: str,
    sessions: Iterable[Session],
    locks: Iterable[Lock],
    offered: frozenset[tuple[str, str]] = frozenset(),
) -> Others:
    """What all sessions but ``session_id`` have and do."""
    theirs = [lock for lock in locks if lock.holder.session_id != session_id]
    areas = {
        name: session.alias
        for session in sessions
        if session.session_id != session_id
        for name in session.areas
    }
    return Others(
        held={path_key(k.path): k.holder.alias for k in theirs if not k.is_pattern},
        patterns=tuple((k.path, k.holder.alias) for k in theirs if k.is_pattern),
        areas=areas,
        offered=offered,
    )


def works(
    knowledge: Knowledge,
    areas: Areas,
    tasks: Iterable[OpenTask],
    own: Sequence[str],
    intent: str,
) -> list[Work]:
    """Everything there is to do. ``own`` are the keys of what the session holds."""
    mentions = Mentions(knowledge.files)
    return [
        *(_of_task(task, mentions, areas) for task in tasks),
        *of_areas(areas, knowledge),
        *_of_files(knowledge, areas, own, intent),
    ]


def free_areas(
    knowledge: Knowledge, areas: Areas, others: Others, intent: str, most: int = 5
) -> list[Ranked]:
    """The areas in which nobody else holds a file or says to work, best first."""
    found = ranked(of_areas(areas, knowledge), others, knowledge, intent)
    return wholly_free(found)[:most]


def wholly_free(found: Iterable[Ranked]) -> list[Ranked]:
    """What nobody else holds a file of, or says to work in."""
    return [one for one in found if not one.collision.shared and not one.collision.worker]


def tasks_first(found: Sequence[Ranked], of: Iterable[Work]) -> list[Ranked]:
    """What was found best of works, with the areas that have open tasks at the end.

    Work there is the task: who is given the area beside it would meet who has that.
    """
    with_tasks = {name for work in of if work.kind == "task" for name in work.areas}

    def is_late(one: Ranked) -> bool:
        return one.work.kind == "area" and one.work.name in with_tasks

    return sorted(found, key=is_late)


def of_areas(areas: Areas, knowledge: Knowledge) -> list[Work]:
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
    named = next(filter(None, map(areas.named, (task.area, *task.topics))), None)
    files = mentions.of(task.title) or (named.files if named else frozenset())
    where = (named.name,) if named else tuple(areas.of_all(files)[:2])
    return Work(
        kind="task",
        name=task.task_id,
        title=task.title,
        text=" ".join((*where, *task.topics)),
        files=files,
        areas=where,
    )


def _of_files(
    knowledge: Knowledge, areas: Areas, own: Sequence[str], intent: str
) -> Iterator[Work]:
    """Files close to what the session holds; where it holds nothing, by its words."""
    found: dict[str, tuple[float, str]] = {}
    for key in own:
        for partner in knowledge.cochange.of(key):
            _keep(found, partner.path, partner.closeness, f"changes with {_shown(knowledge, key)}")
        for path in knowledge.imports.neighbours(key):
            _keep(found, path, 0.4, f"linked by an import with {_shown(knowledge, key)}")
    if not found and intent:
        found = dict.fromkeys(_alike(knowledge, intent), (0.0, ""))
    best = sorted(found.items(), key=lambda each: (-each[1][0], each[0]))
    for path, (closeness, because) in best[:_MOST_FILES]:
        key = path_key(path)
        if key not in own:
            words = re.sub(r"[/_.-]", " ", path)
            files = frozenset({key})
            where = areas.of(key)
            yield Work(
                "file", path, path, words, files, where, closeness=closeness, because=because
            )


def _keep(found: dict[str, tuple[float, str]], path: str, closeness: float, why: str) -> None:
    if closeness > found.get(path, (0.0, ""))[0]:
        found[path] = (closeness, why)


def _alike(knowledge: Knowledge, intent: str) -> list[str]:
    names = {
        path: re.sub(r"[/_.-]", " ", path)
        for path in list(knowledge.files.values())[:_MOST_COMPARED]
    }
    best = process.extract(
        intent,
        names,
        scorer=fuzz.token_set_ratio,
        processor=utils.default_process,
        limit=_MOST_FILES,
        score_cutoff=_ALIKE,
    )
    return [path for _, _, path in best]


def _shown(knowledge: Knowledge, key: str) -> str:
    return knowledge.files.get(key, key)
