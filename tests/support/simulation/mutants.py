"""Planted mistakes, to prove that the simulation finds what it is for.

Each is one that somebody made once, or might: what it breaks, which checks are there to
find it, and how it is put in. A mutant that no seed finds is a hole in the checks, not a
proof of the product; and so is one that only breaks a history off.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from scoord.claimant import Claimant
from scoord_agent import coordinator as client
from scoord_agent import lifecycle, reclaiming
from scoord_agent.delivery import Delivery
from scoord_agent.edits import Edits
from scoord_agent.handing_back import HandingBack
from scoord_agent.heart import Heart
from scoord_agent.held import HeldLocks
from scoord_agent.judging import Judging
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbourhood
from scoord_agent.owed import Owed
from scoord_agent.protection import Protection
from scoord_agent.reactions import Reactions
from scoord_agent.registration import Registration
from scoord_agent.relay import Relay
from scoord_agent.reporting import Reporting
from scoord_agent.sessions import Sessions
from scoord_agent.strays import Strays
from scoord_agent.turns import Turns
from scoord_server.coordinator import Coordinator
from scoord_server.farewells import Farewells
from scoord_server.ground import Ground
from scoord_server.locking import Locking
from scoord_server.model import conflicts, endings, queues, reclaims, reservations, worklogs
from scoord_server.model import locks as lock_rules
from scoord_server.picture import Picture
from scoord_server.reporting import Reporting as ServerReporting
from scoord_server.seen import SeenLock, SeenWaiter
from scoord_server.view import View
from support.simulation import mistakes
from support.simulation.loop import HostClock

Patch = AbstractContextManager[object]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted mistake."""

    name: str
    breaks: str
    found_by: tuple[str, ...]
    """The checks that see what it breaks; a crash, C0, is never one of them."""
    plant: Callable[[], Patch]


def _method(owner: Any, name: str, body: Callable[..., Any]) -> Callable[[], Patch]:
    return lambda: patch.object(owner, name, body)


def _around(
    owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], Patch]:
    return lambda: patch.object(owner, name, wrap(getattr(owner, name)))


def _each_of(*plants: Callable[[], Patch]) -> Callable[[], Patch]:
    """Mistakes that make one, where one place would stand in for the other."""

    @contextmanager
    def plant() -> Iterator[None]:
        with ExitStack() as stack:
            for one in plants:
                stack.enter_context(one())
            yield

    return plant


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "belief without an end",
        "edits are allowed from memory after D",
        ("C1",),
        _method(HeldLocks, "believes", mistakes.believes_for_ever),
    ),
    Mutant(
        "unconditional release",
        "a late release frees what another has by now",
        ("C1", "C3", "C4"),
        _around(endings, "plan_end", mistakes.ends_whatever_stands),
    ),
    Mutant(
        "blind acquire",
        "a lock is put over another's",
        ("C3",),
        _around(lock_rules, "plan_acquire", mistakes.takes_whatever_stands),
    ),
    Mutant(
        "everyone may have it",
        "held by another counts as held by the asker",
        ("C1", "C3"),
        _method(conflicts, "in_the_way", mistakes.nothing_in_the_way),
    ),
    Mutant(
        "new request id on retry",
        "a repeated command does not get its first answer",
        ("C3",),
        _around(client.CoordinatorClient, "_ask_once", mistakes.renames_on_retry),
    ),
    Mutant(
        "answer of a break not kept",
        "a repeated break does not get its first answer",
        ("C3",),
        _each_of(
            _method(Locking, "_broke_before", mistakes.broke_nothing),
            _method(endings, "over", mistakes.answers_standing),
        ),
    ),
    Mutant(
        "renewal counts from the answer",
        "what the answer took is believed in",
        ("C1",),
        _around(Heart, "_feel", mistakes.counts_from_the_answer),
    ),
    Mutant(
        "dead pulse ignored",
        "an agent believes in a lease that is over",
        ("C1", "C4"),
        _method(Heart, "_feel", mistakes.never_dies),
    ),
    Mutant(
        "always live",
        "the coordinator says of a dead session that it lives",
        ("C1", "C4", "C5"),
        _around(Coordinator, "heartbeat", mistakes.always_live),
    ),
    Mutant(
        "waiters never told",
        "who was refused does not hear that the file is free",
        ("C5",),
        _method(Reactions, "_turn", mistakes.tells_nobody),
    ),
    Mutant(
        "nobody is asked",
        "a holder does not hear that others wait",
        ("C10",),
        _method(Reactions, "_ask", mistakes.asks_nobody),
    ),
    Mutant(
        "asked at new places only",
        "who gets a file by its turn does not hear that others still wait",
        ("C10",),
        _method(Picture, "_asked_anew", mistakes.asked_at_new_places_only),
    ),
    Mutant(
        "subagents not asked",
        "a subagent does not hear that others wait for what it holds: its main thread does",
        ("C10",),
        _method(LocalSession, "thread", mistakes.knows_main_threads_only),
    ),
    Mutant(
        "unknown is allowed",
        "an edit goes through unasked against the settings",
        ("C1",),
        _method(Judging, "_unasked", mistakes.allows_the_unknown),
    ),
    Mutant(
        "clock stops in suspend",
        "a machine that slept believes what it believed before",
        ("C1",),
        _method(HostClock, "now", mistakes.clock_without_suspend),
    ),
    Mutant(
        "failed release forgotten",
        "a release whose answer is lost is not sent again",
        ("C5", "C6"),
        _around(Owed, "send", mistakes.forgets_what_failed),
    ),
    Mutant(
        "gap in the stream",
        "what came and went while the view listed anew is never told",
        ("C1", "C5"),
        _method(View, "_joined", mistakes.without_pictures),
    ),
    Mutant(
        "turns last for ever",
        "a session is told of a turn that is over, as if it lasted",
        ("C5",),
        _method(Turns, "take", mistakes.as_if_just_come),
    ),
    Mutant(
        "missed places not told",
        "who was promised its turn never hears that its place went unheard",
        ("C5",),
        _method(Turns, "missed", mistakes.misses_no_place),
    ),
    Mutant(
        "a dead agent's locks forgotten",
        "what was lost while the agent was dead is never told",
        ("C4",),
        _method(Registration, "_recall", mistakes.recalls_nothing),
    ),
    Mutant(
        "losses not told",
        "a session goes on without knowing that its lock is lost",
        ("C4",),
        _method(LocalSession, "tell_loss", mistakes.says_nothing),
    ),
    Mutant(
        "told by an answer that nobody got",
        "what a hook is told that waits no more is never told",
        ("C4",),
        _method(Delivery, "failed", mistakes.keeps_nothing),
    ),
    Mutant(
        "subagents not told",
        "a subagent edits on without knowing that its lock is lost: its main thread is told",
        ("C4",),
        _method(LocalSession, "hear", mistakes.knows_no_subagents),
    ),
    Mutant(
        "end of a lock not heard",
        "an agent believes in what was broken",
        ("C1", "C5"),
        _method(Reactions, "_lock_gone", mistakes.forgets_to_watch),
    ),
    Mutant(
        "late grant taken up",
        "a grant that ended before its answer came is believed in",
        ("C1", "C5"),
        _method(Neighbourhood, "is_over", mistakes.is_never_over),
    ),
    Mutant(
        "idle at once",
        "a lock that is used is taken away as idle",
        ("C3",),
        _around(SeenLock, "overdue", mistakes.idle_at_once),
    ),
    Mutant(
        "time without an end",
        "a lock that was taken for a time stays when that is over",
        ("C5",),
        _around(SeenLock, "overdue", mistakes.never_lasted),
    ),
    Mutant(
        "break answered, not done",
        "who breaks a lock is told that it did, and the lock stands",
        ("C3",),
        _around(Locking, "end", mistakes.answers_only("broken")),
    ),
    Mutant(
        "another grant broken",
        "a break takes away whatever grant stands by now",
        ("C3",),
        _around(Locking, "end", mistakes.breaks_whatever_stands),
    ),
    Mutant(
        "release answered, not done",
        "a release is acknowledged, and the lock stands",
        ("C3", "C5"),
        _around(Locking, "end", mistakes.answers_only("released")),
    ),
    Mutant(
        "places without a lease",
        "a place in a queue outlives its session",
        ("C6",),
        _around(queues, "_put_waiter", mistakes.puts_without_a_lease),
    ),
    Mutant(
        "place lost by asking again",
        "who asks again goes to the end of the queue",
        ("C8",),
        _around(Locking, "acquire", mistakes.gives_up_its_place),
    ),
    Mutant(
        "served and waits on",
        "who got a file keeps its place in the queue",
        ("C5", "C8"),
        _method(lock_rules, "_own_places", mistakes.nobody_ahead),
    ),
    Mutant(
        "known conflict forgotten",
        "an edit of what another is known to have goes through unasked",
        ("C1",),
        _method(Judging, "_in_the_way", mistakes.knows_no_conflict),
    ),
    Mutant(
        "refused what it has",
        "an edit of what its session has is refused",
        ("C5",),
        _around(Edits, "guard", mistakes.refuses_what_is_held),
    ),
    Mutant(
        "shares exclude shares",
        "who would share a file is refused it for nobody",
        ("C3",),
        _method(Claimant, "excludes", mistakes.excludes_all_others),
    ),
    Mutant(
        "queue jumped",
        "one who came later overtakes those who wait",
        ("C8",),
        _method(conflicts, "_ahead", mistakes.nobody_ahead),
    ),
    Mutant(
        "queue jumped by a pattern",
        "a pattern is granted over a file that others wait for",
        ("C8",),
        _around(reservations, "in_the_way", mistakes.without_waiters),
    ),
    Mutant(
        "share excludes nobody",
        "a file is written while others share it",
        ("C1", "C3"),
        _method(Claimant, "excludes", mistakes.shares_with_writers),
    ),
    Mutant(
        "patterns not looked at",
        "a file is granted beside a pattern that matches it",
        ("C1", "C3"),
        _method(View, "reservations", mistakes.no_patterns),
    ),
    Mutant(
        "pattern without files",
        "a pattern is granted beside a file that it matches",
        ("C1", "C3"),
        _method(reservations, "_meets", mistakes.excludes_nobody),
    ),
    Mutant(
        "reclaim believed",
        "a lost lock is taken for had again although another has it",
        ("C1", "C3"),
        _method(reclaims, "read_reclaim", mistakes.always_had_again),
    ),
    Mutant(
        "claim without an end",
        "one that does not use its turn keeps all others from the file",
        ("C5",),
        _method(SeenWaiter, "is_overdue", mistakes.never_overdue),
    ),
    Mutant(
        "not taken up",
        "an agent does not know what its sessions hold since before it",
        ("C4", "C5"),
        _method(Sessions, "load", mistakes.as_if_known),
    ),
    Mutant(
        "strays kept",
        "what a late try was granted is held until its session ends",
        ("C5", "C6"),
        _method(Strays, "give_back", mistakes.keeps_strays),
    ),
    Mutant(
        "session of the dead",
        "a hook that is answered after its CLI died makes a session that nothing ends",
        ("C6",),
        _method(lifecycle, "_has_gone", mistakes.excludes_nobody),
    ),
    Mutant(
        "lease not revoked",
        "a session that ended keeps its locks until the TTL",
        ("C6",),
        _method(Ground, "revoke", mistakes.ends_nothing),
    ),
    Mutant(
        "locks carried to a new lease",
        "what was held on a lease that is over is believed in on the next",
        ("C1", "C5"),
        _method(Registration, "lapse", mistakes.keeps_locks),
    ),
    Mutant(
        "end noted by everyone",
        "each replica that sees a session go writes its end down",
        ("C7",),
        _around(worklogs, "plan_finish", mistakes.notes_without_looking),
    ),
    Mutant(
        "end noted as it happens only",
        "an end that no replica followed is never written down",
        ("C7",),
        _method(Farewells, "look", mistakes.looks_for_nothing),
    ),
    Mutant(
        "slips not written down",
        "an edit that was let through unasked is never reported",
        ("C9",),
        _method(Reporting, "note", mistakes.notes_nothing),
    ),
    Mutant(
        "edits without their lock not noted",
        "an edit whose lock was lost before it was done is never reported",
        ("C9",),
        _method(Protection, "edited", mistakes.notes_nothing),
    ),
    Mutant(
        "ends heard too late for an edit",
        "an edit whose lock was lost before it was done, unheard, is never reported",
        ("C9",),
        _method(Protection, "_rely", mistakes.notes_nothing),
    ),
    Mutant(
        "given back in silence",
        "a lock comes back, and nobody says who edited its file meanwhile",
        ("C9",),
        _method(reclaiming, "_edited_meanwhile", mistakes.says_nothing_of_edits),
    ),
    Mutant(
        "slips not told",
        "who holds a file that was edited unasked does not hear of it",
        ("C9",),
        _method(ServerReporting, "_live", mistakes.tells_no_holder),
    ),
    Mutant(
        "silence believed",
        "what was broken is edited for as long as the stream stands still",
        ("C1",),
        _method(HeldLocks, "is_followed", mistakes.is_always_followed),
    ),
    Mutant(
        "kept after the turn",
        "what is to be given back with a turn is held on",
        ("C5",),
        _method(HandingBack, "after_turn", mistakes.gives_nothing_back),
    ),
    Mutant(
        "kept after the commit",
        "what is to be given back once it is committed is held on",
        ("C5",),
        _method(HandingBack, "after_commit", mistakes.gives_nothing_back),
    ),
    Mutant(
        "kept after the switch",
        "what is held for a branch that was left is held on",
        ("C5",),
        _method(HandingBack, "after_switch", mistakes.gives_nothing_back_yet),
    ),
    Mutant(
        "kept after a subagent",
        "what a subagent held that has ended is held on",
        ("C5",),
        _method(Relay, "_end_subagent", mistakes.keeps_what_a_subagent_had),
    ),
    Mutant(
        "killed subagents work on",
        "what a subagent held whose end nobody told is held on",
        ("C5",),
        _method(Relay, "_end_all_subagents", mistakes.gives_nothing_back),
    ),
)
"""As data, so that the list can grow; ``python -m support.simulation --mutant NAME``."""

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
