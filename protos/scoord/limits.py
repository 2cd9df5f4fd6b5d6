"""How much one command may ask for, and what a session may publish. Both ends keep to these."""

from typing import Final

MOST_PATHS: Final = 30
"""In one command: four operations a path at most, and etcd takes at most 128 at once."""

MOST_TASKS: Final = 100
"""Added in one command: one operation each."""

MOST_DEPENDENCIES: Final = 20
"""Others that a session says it depends on."""

MOST_EDITED_FILES: Final = 100
"""That are kept with a session: they are stored again with each of its updates."""

MOST_AREA: Final = 80
"""Characters of an area's name; a folder that nobody named one for gives its path."""

MOST_NOTICES: Final = 100
"""Acknowledged in one command."""

MOST_BEATS: Final = 2_000
"""In one heartbeat: others' leases wait while these are renewed."""

MOST_USES: Final = 200
"""Locks that one heartbeat tells something of: each is put by itself, while its leases wait."""

MOST_KINDS: Final = 100
"""Kinds of lines that history is asked for, or to leave out."""
