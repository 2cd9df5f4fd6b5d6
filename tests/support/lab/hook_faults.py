"""What may happen between a hook and the agent of its machine.

The hooks come from a namespace of their own then, on whose loopback a proxy listens
where the agent listens on the machine's.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from support.lab.fault import ASKED, Injection, LabFault, Proof
from support.lab.lab import MACHINES, Lab
from support.proxy import Proxy, proxy

Way = Callable[[Proxy], AbstractContextManager[None]]


def _between(way: Way, *names: str) -> Injection[Lab]:
    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        with contextlib.ExitStack() as stack:
            joints = [stack.enter_context(_hooks_proxied(lab, name)) for name in names]
            for joint in joints:
                stack.enter_context(way(joint))
            yield lambda: all(joint.swallowed for joint in joints)

    return injection


@contextlib.contextmanager
def _hooks_proxied(lab: Lab, name: str) -> Iterator[Proxy]:
    machine = lab.machines[name]
    port, agents = machine.port, machine.space
    with (
        lab.network.lonely(f"{name}-hooks") as hooks,
        proxy(f"127.0.0.1:{port}", port=port, here=hooks, there=agents) as joint,
        machine.hooks_come_from(hooks),
    ):
        yield joint


HOOK_FAULTS = (
    LabFault(
        "answers do not reach the hooks",
        _between(Proxy.answers_always_lost, "m2"),
        lasts_s=4.5,
        feels=("m2",),
        thin=2,
        unheard=True,
    ),
    LabFault(
        "http hooks do not reach the agent",
        _between(Proxy.questions_lost, "m1"),
        lasts_s=4.5,
        feels=("m1",),
        counts=ASKED,
        thin=2,
    ),
    LabFault(
        "connections of hooks are reset when the answer comes",
        _between(Proxy.answers_reset, *MACHINES),
        counts=ASKED,
        unheard=True,
    ),
)
