"""How long anything may last, as the settings and the boundary of the coordinator know it."""

from typing import Final

MOST_S: Final = 36_500 * 86_400
"""A hundred years."""

DEFAULT_CLAIM_S: Final = 20
"""How long a free file is kept for the first who waited for it, where nobody says."""

HEALTHY_AGE_S: Final = 8.0
"""An idle store is heard every 1.5 s; a view of it that is older than this is not up to date."""

MOST_CLAIM_S: Final = 3600
"""Whoever needs longer than that to come back has others wait for nothing."""
