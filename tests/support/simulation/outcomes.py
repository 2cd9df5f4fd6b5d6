"""What became of the commands that a hook sent, by the answers that reached its agent."""

from scoord.names import path_key
from scoord.v1.locks_pb2 import LockMode
from support.simulation.machine import Hook
from support.simulation.network import Exchange
from support.simulation.wishes import LATE_GRANT


def note(hook: Hook, exchange: Exchange, belief_s: float) -> None:
    """One is answered, or has failed."""
    outcome = _outcome(exchange, belief_s)
    hook.asked.append(outcome)
    if exchange.response is None:
        hook.failed_in.add(_project(exchange))
    elif outcome in {"granted", LATE_GRANT}:
        paths = [path_key(ref.path) for ref in exchange.response.granted.locks]
        hook.times_granted.update(paths)
        hook.granted |= set(paths if outcome == "granted" else ())
    elif _is_of_the_edit(hook, exchange):
        conflicts = exchange.response.held.conflicts
        hook.contested |= {path_key(conflict.path) for conflict in conflicts}


def _is_of_the_edit(hook: Hook, exchange: Exchange) -> bool:
    """Whether it asks for what the hook edits; meanwhile a lost share may be asked for again."""
    if exchange.method != "Acquire":
        return False
    asked = exchange.request.mode, exchange.request.agent_id
    return asked == (LockMode.LOCK_MODE_EXCLUSIVE, hook.event.agent_id)


def _outcome(exchange: Exchange, belief_s: float) -> str:
    if exchange.response is None:
        return f"{exchange.method} failed {exchange.code or exchange.error}"
    if exchange.method != "Acquire":
        return exchange.method
    outcome = str(exchange.response.WhichOneof("outcome"))
    is_late = exchange.process.clock.now() - exchange.sent_at >= belief_s
    return LATE_GRANT if outcome == "granted" and is_late else outcome


def _project(exchange: Exchange) -> str:
    """The project that a command is for; empty where it is for several."""
    request = exchange.request
    of = request.session if exchange.method == "Register" else request
    return str(getattr(of, "project", ""))
