"""How the settings that a running agent uses differ from those it would start with now.

Whom it asks, its timings, its port and its environment are read at its start only: a
file that was changed since, or a variable that another shell has, is not in force, and
must not look as if it were.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from scoord import local
from scoord.config import Settings
from scoord.layers import variable
from scoord.text import one_line
from scoord_agent.cli.pictures import AgentFacts
from scoord_agent.settings import COORDINATION, read_once
from scoord_hooks import connectivity


def differences(agent: AgentFacts, settings: Settings) -> tuple[str, ...]:
    """Return one line for each setting that the agent would read differently now.

    An agent of a version that does not tell its settings does not differ.
    """
    return tuple(_differences(agent, settings))


def _differences(agent: AgentFacts, settings: Settings) -> Iterator[str]:
    now = read_once(settings, os.environ)
    yield from _of_variables(agent, now.pop(COORDINATION))
    for section, wanted in now.items():
        used = agent.settings.get(section, {})
        for key, value in wanted.items():
            if used.get(key, value) != value:
                yield f"{section}.{key} is {_shown(used[key])} there, {_shown(value)} now"
    port = local.agent_port()
    if agent.port != port:
        yield (
            f"its port is {agent.port} there, {port} now (`scoord hooks install` tells the hooks)"
        )
    elif connectivity.token_is_refused(port, local.token()):
        yield "it takes another token than the hooks have"


def _of_variables(agent: AgentFacts, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Compare also what only one of the two sets: it holds for all sessions of the machine."""
    used = agent.settings.get(COORDINATION, wanted)
    for key in sorted({*used, *wanted}):
        there, here = used.get(key), wanted.get(key)
        if there != here:
            name = variable(COORDINATION, key)
            yield f"{name} is {_shown(there)} there, {_shown(here)} now"


def _shown(value: object) -> str:
    """Return a value as a person would write it."""
    if isinstance(value, list):
        return one_line(", ".join(map(str, value)))
    if isinstance(value, float):
        return f"{value:g} s"
    if isinstance(value, bool):
        return str(value).lower()  # as YAML has it
    return "not set" if value is None else one_line(str(value))
