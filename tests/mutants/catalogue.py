"""Planted mistakes: what is changed, where, and which tests must notice.

Each is one edit of one file. ``before`` stands there exactly once, or the mutant is
stale: a unit test sees to that, so that the list moves with the code.
"""

from dataclasses import dataclass

SERVER = "server/scoord_server"
AGENT = "agent/scoord_agent"
SHARED = "protos/scoord"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    """What is run against it, until the first failure."""


_RULES = tuple(
    f"tests/unit/server/test_{name}.py"
    for name in ("locks", "claims", "modes", "reservations", "reclaims", "sessions", "keys")
)
_COMPACTOR = ("tests/unit/server/test_compactor.py",)
_RESUMED = tuple(
    f"tests/integration/test_etcd_store.py::test_{name}"
    for name in (
        "a_watch_goes_on_after_kill_9_and_loses_and_repeats_nothing",
        "events_that_happen_while_nobody_listens_come_later",
    )
)
_AGENT = ("tests/unit/agent",)

MUTANTS = (
    Mutant(
        "a release deletes whatever is there",
        f"{SERVER}/model/endings.py",
        "(is_grant(fact.key, fact.token), present(fact.key)),",
        "(),",
        _RULES,
    ),
    Mutant(
        "an idle lock is taken away although it was used since",
        f"{SERVER}/model/endings.py",
        "(*txn.compares, unchanged(fact.key, fact.mod_revision))",
        "txn.compares",
        _RULES,
    ),
    Mutant(
        "a use is published without a compare",
        f"{SERVER}/model/locks.py",
        "    return Txn((guard,), (Put(fact.key",
        "    return Txn((), (Put(fact.key",
        _RULES,
    ),
    Mutant(
        "an acquire does not ask whether its session lives",
        f"{SERVER}/model/locks.py",
        "        lives(project, asker.session),\n",
        "",
        _RULES,
    ),
    Mutant(
        "a lock outlives its session",
        f"{SERVER}/model/locks.py",
        "[Put(key, record.SerializeToString(), asker.lease)]",
        "[Put(key, record.SerializeToString())]",
        _RULES,
    ),
    Mutant(
        "an acquire overlooks what came beside a path since it looked",
        f"{SERVER}/model/locks.py",
        "        compares.append(none_put_since(keys.room(project, name.key), room.revision))\n",
        "",
        _RULES,
    ),
    Mutant(
        "an acquire overlooks a pattern that is new since it looked",
        f"{SERVER}/model/locks.py",
        "        none_put_since(keys.reservation_prefix(project), known.seen),\n",
        "",
        _RULES,
    ),
    Mutant(
        "a reserve overlooks a lock that is new since it looked",
        f"{SERVER}/model/reservations.py",
        "        *_guards(command, seen),\n",
        "",
        _RULES,
    ),
    Mutant(
        "a grant leaves no trace",
        f"{SERVER}/model/locks.py",
        "    if not before and not who.shared:\n",
        "    if before and not who.shared:\n",
        _RULES,
    ),
    Mutant(
        "a lost lock is given back whoever had it since",
        f"{SERVER}/model/reclaims.py",
        "        unchanged(_trace_key(command), command.lost),\n",
        "",
        _RULES,
    ),
    Mutant(
        "a lost lock is given back although another had it since it was looked for",
        f"{SERVER}/model/reclaims.py",
        "        *(none_put_since(prefix, seen) for prefix in _where_left(command)),\n",
        "",
        _RULES,
    ),
    Mutant(
        "a lost lock is given back whoever had it on another branch",
        f"{SERVER}/model/reclaims.py",
        "    of_path = traces.kept_out(who, left)\n",
        "    of_path = list[KeyValue]()\n",
        _RULES,
    ),
    Mutant(
        "a lost lock is given back whoever had a pattern over it",
        f"{SERVER}/model/traces.py",
        "        if session != who.session and ",
        "        if session == who.session and ",
        _RULES,
    ),
    Mutant(
        "a waiter is overtaken",
        f"{SERVER}/model/conflicts.py",
        "    ahead = () if has_part(who, holds) else _ahead(who, room)\n",
        "    ahead: tuple[WaiterFact, ...] = ()\n",
        _RULES,
    ),
    Mutant(
        "who waits is overtaken by a pattern",
        f"{SERVER}/model/reservations.py",
        "    waiters = () if own(command, found) else found.waiters\n",
        "    waiters = ()\n",
        _RULES,
    ),
    Mutant(
        "who waits is overtaken by one who lost the lock",
        f"{SERVER}/model/reclaims.py",
        "    if by or since or not ",
        "    if isinstance(by, LockFact) or since or not ",
        _RULES,
    ),
    Mutant(
        "all who wait are woken",
        f"{SERVER}/model/conflicts.py",
        "        ahead = () if has_part(who, (*room.holds, *patterns)) else room.waiters[:place]\n",
        "        ahead: tuple[WaiterFact, ...] = ()\n",
        _RULES,
    ),
    Mutant(
        "a turn never passes on",
        f"{SERVER}/seen.py",
        "        return self.turn_at is not None and _over(",
        "        return self.turn_at is None and _over(",
        _RULES,
    ),
    Mutant(
        "a granted waiter stays in the queue",
        f"{SERVER}/model/locks.py",
        "        done.append(Delete(mine.key))\n",
        "        pass\n",
        _RULES,
    ),
    Mutant(
        "two subagents may take over one lock",
        f"{SERVER}/model/locks.py",
        "    return unchanged(key, next(found, 0))\n",
        "    return present(key) if any(found) else unchanged(key, 0)\n",
        _RULES,
    ),
    Mutant(
        "a repeated release is told that it failed",
        f"{SERVER}/model/endings.py",
        "t.token == token and t.request_id == request",
        "t.token == token and not t.request_id",
        _RULES,
    ),
    Mutant(
        "a sharer lets writers in",
        f"{SHARED}/claimant.py",
        "(self.shared and other.shared)",
        "self.shared",
        _RULES,
    ),
    Mutant(
        "a branch keeps nobody out",
        f"{SHARED}/claimant.py",
        "        return not (self.branch and other.branch) or self.branch == other.branch\n",
        "        return not self.branch\n",
        _RULES,
    ),
    Mutant(
        "other case is another file",
        f"{SHARED}/names.py",
        "        return shown.lower()\n",
        "        return shown\n",
        _RULES,
    ),
    Mutant(
        "two sessions may have one short name",
        f"{SERVER}/model/sessions.py",
        "(absent(session_key), absent(alias_key)),",
        "(absent(session_key),),",
        _RULES,
    ),
    Mutant(
        "a renewed lease is proof that the session lives",
        f"{SERVER}/coordinator.py",
        "Pulse(left[beat.lease] > 0 and alive, left[beat.lease])",
        "Pulse(left[beat.lease] > 0, left[beat.lease])",
        _RULES,
    ),
    Mutant(
        "a lease that is gone counts as renewed",
        f"{SERVER}/coordinator.py",
        "Pulse(left[beat.lease] > 0 and alive, left[beat.lease])",
        "Pulse(alive or left[beat.lease] == 0, left[beat.lease])",
        _RULES,
    ),
    Mutant(
        "what vanished in compacted history stays in the picture",
        f"{SERVER}/picture.py",
        "        gone = list(self._forget_missing({kv.key for kv in kvs}))\n",
        "        gone: list[Change] = []\n",
        _RULES,
    ),
    Mutant(
        "a watch is resumed one revision late",
        f"{SERVER}/store/etcd/watch.py",
        "self._next = batch.revision + 1",
        "self._next = batch.revision + 2",
        _RESUMED,
    ),
    Mutant(
        "a watch is resumed one revision early",
        f"{SERVER}/store/etcd/watch.py",
        "self._next = batch.revision + 1",
        "self._next = batch.revision",
        _RESUMED,
    ),
    Mutant(
        "transactions that touch each other travel together",
        f"{SERVER}/store/etcd/footprint.py",
        "        return _spoils(self, other) or _spoils(other, self)\n",
        "        return False\n",
        ("tests/unit/server/test_etcd_rules.py",),
    ),
    Mutant(
        "every replica compacts",
        f"{SERVER}/compactor.py",
        "    return Txn((unchanged,), (",
        "    return Txn((), (",
        _COMPACTOR,
    ),
    Mutant(
        "history is forgotten while it is young",
        f"{SERVER}/compactor.py",
        "await self._store.compact(before.revision)",
        "await self._store.compact(result.revision)",
        _COMPACTOR,
    ),
    Mutant(
        "a report does not read who edited since",
        f"{SERVER}/model/reclaims.py",
        "_look(command, since=command.heard_revision)",
        "_look(command, since=command.heard_revision + 9)",
        _RULES,
    ),
    Mutant(
        "a lost lease's locks are believed in for ever",
        f"{AGENT}/held.py",
        "renewed_at is not None and now < renewed_at + self._belief_s",
        "renewed_at is not None",
        _AGENT,
    ),
    Mutant(
        "a share is enough to write",
        f"{AGENT}/held.py",
        "lock is None or lock.shared or lock.branch",
        "lock is None or lock.branch",
        _AGENT,
    ),
    Mutant(
        "a lock that a later grant ended is used on",
        f"{AGENT}/held.py",
        "            if other.token == lock.token or replaced:\n                del path[who]\n",
        "            if other.token == lock.token:\n                del path[who]\n",
        _AGENT,
    ),
    Mutant(
        "the deadline counts from the answer",
        f"{AGENT}/heart.py",
        "                self._feel(session, sent_at, response.pulses)\n",
        "                self._feel(session, self._clock.now(), response.pulses)\n",
        ("tests/unit/agent/test_heart.py",),
    ),
    Mutant(
        "a deadline does not count suspend",
        f"{SHARED}/clock.py",
        '_SUSPEND_COUNTING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)',
        "_SUSPEND_COUNTING = time.CLOCK_MONOTONIC",
        ("tests/unit/protos/test_clock.py",),
    ),
    Mutant(
        "a stream falls silent while another project is busy",
        f"{SERVER}/rpc/events.py",
        "                if not responses and ",
        "                if isinstance(step, Step) and not step.changes and ",
        ("tests/unit/server/test_events.py",),
    ),
    Mutant(
        "a host that begins like ours is ours",
        f"{AGENT}/listener.py",
        'if request.headers.get("Host") != self._host:',
        'if not request.headers.get("Host", "").startswith(self._host):',
        ("tests/integration/test_bad_input.py",),
    ),
)
