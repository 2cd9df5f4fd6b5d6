"""What a project's graph may hold, for all who write it, check it, or show it."""

from typing import Final

SESSION: Final = "active_session"
LOCK: Final = "file_lock"
AREA: Final = "area"
TASK: Final = "task"
"""The types of what follows from the state."""

LOCK_NAME: Final = "lock_"
SESSION_NAME: Final = "active_session_"
AREA_NAME: Final = "area_"
TASK_NAME: Final = "task_"
"""What its names begin with; no note's does, in any case."""

HOLDS_LOCK: Final = "holds_lock"
WAITS_FOR: Final = "waits_for"
WORKING_ON: Final = "working_on"
DEPENDS_ON: Final = "depends_on"
"""The relations that follow from the state."""

MOST_NAME: Final = 200
MOST_TYPE: Final = 100
MOST_FACT: Final = 2000
"""Characters of a name, of a type, of one observation."""

MOST_FACTS: Final = 200
"""Observations of one entity."""

MOST_CHANGES: Final = 100
"""Entities, observations and relations in one command, so that they fit into one transaction."""

MOST_ENTITIES: Final = 1000
MOST_RELATIONS: Final = 5000
MOST_BYTES: Final = 2 * 1024 * 1024
"""Of all that is written down in one project."""

MOST_SHOWN_NAME: Final = 300
"""Characters of the name of an entity that follows from the state: a path may be long."""


_TYPES: Final = frozenset({SESSION, LOCK, AREA, TASK})
_NAMES: Final = {SESSION_NAME: SESSION, LOCK_NAME: LOCK, AREA_NAME: AREA, TASK_NAME: TASK}
_RELATIONS: Final = frozenset({HOLDS_LOCK, WAITS_FOR, WORKING_ON, DEPENDS_ON})


def state_type(entity_type: str) -> str:
    """The type of the state that ``entity_type`` is or looks like; empty for a note's own.

    Entities of these types follow from the state, and are never written down.
    """
    folded = _folded(entity_type)
    return folded if folded in _TYPES else ""


def state_name(name: str) -> str:
    """The type of what is called as ``name`` is; empty where it may be a note's."""
    folded = _folded(name)
    return next((type_ for begin, type_ in _NAMES.items() if folded.startswith(begin)), "")


def state_relation(source: str, relation_type: str, target: str) -> str:
    """The relation of the state that this would pose as; empty where it may be a note's.

    Between entities of one's own any relation may be noted, whatever it is called.
    """
    folded = _folded(relation_type)
    tells_of_state = state_name(source) or state_name(target)
    return folded if tells_of_state and folded in _RELATIONS else ""


def _folded(text: str) -> str:
    return text.strip().casefold()
