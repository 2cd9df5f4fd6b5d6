"""What a project's graph may hold, for all who write it, check it, or show it."""

from typing import Final

SESSION: Final = "active_session"
LOCK: Final = "file_lock"
LIVE_TYPES: Final = frozenset({SESSION, LOCK})
"""Types of entities that follow from what lives, and are never written down."""

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
