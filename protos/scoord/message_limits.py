"""How much one message between an agent and a coordinator may hold. Both ends keep to these."""

from typing import Final

MOST_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""What a coordinator takes."""

MOST_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""What an agent takes. A stream begins with all there is in a project, as one message: a
lock in it has about 0.3 kB, so that 200,000 fit."""
