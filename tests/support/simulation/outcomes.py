"""What became of the commands that a hook sent, by the answers that reached its agent."""

from scoord.names import path_key
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
    elif exchange.method == "Acquire":
        conflicts = exchange.response.held.conflicts
        hook.contested |= {path_key(conflict.path) for conflict in conflicts}


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
