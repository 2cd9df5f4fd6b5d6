"""Planted mistakes: what is changed, where, and which tests must notice.

Each is one edit of one file. ``before`` stands there exactly once, or the mutant is
stale: a unit test sees to that, so that the list moves with the code.
"""

from dataclasses import dataclass

SERVER = "server/scoord_server"
AGENT = "agent/scoord_agent"
HOOKS = "hooks/scoord_hooks"
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
    for name in (
        "locks",
        "claims",
        "modes",
        "branches",
        "reservations",
        "reclaims",
        "sessions",
        "keys",
    )
)
_REPORTS = ("tests/unit/server/test_reports.py",)
_TIMELY = ("tests/unit/server/test_timely.py", "tests/integration/test_timely.py")
_COMPACTOR = ("tests/unit/server/test_compactor.py",)
_RESUMED = tuple(
    f"tests/integration/test_etcd_store.py::test_{name}"
    for name in (
        "a_watch_goes_on_after_kill_9_and_loses_and_repeats_nothing",
        "events_that_happen_while_nobody_listens_come_later",
    )
)
_AGENT = ("tests/unit/agent",)
_ETCD = ("tests/unit/server/test_etcd_calls.py",)
_REPLACED = (
    "tests/integration/test_agent_replaced.py"
    "::test_what_an_agent_was_giving_back_is_given_back_by_the_next_one"
)

MUTANTS = (
    Mutant(
        "a release deletes whatever is there",
        f"{SERVER}/model/endings.py",
        "    return (stands,)\n",
        "    return ()\n",
        _RULES,
    ),
    Mutant(
        "an idle lock is taken away although it was used since",
        f"{SERVER}/model/endings.py",
        "return stands, unchanged(fact.key, fact.mod_revision)",
        "return (stands,)",
        _RULES,
    ),
    Mutant(
        "a lock is taken away at the end that it had before",
        f"{SERVER}/model/endings.py",
        "{Kind.IDLE, Kind.LASTED}:",
        "{Kind.IDLE}:",
        ("tests/unit/server/test_lasting.py",),
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
        "        *_guards(command, found),\n",
        "",
        _RULES,
    ),
    Mutant(
        "a command goes on after its time",
        f"{SERVER}/timely.py",
        "    if left_s is not None and left_s <= 0:\n",
        "    if left_s is not None and left_s < 0:\n",
        _TIMELY,
    ),
    Mutant(
        "for how long a caller waits is not looked at",
        f"{SERVER}/rpc/interceptors.py",
        "        time_left.set(context.time_remaining)\n",
        "",
        _TIMELY,
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
        "        if session != who.session and _meets(",
        "        if session == who.session and _meets(",
        _RULES,
    ),
    Mutant(
        "a waiter is overtaken",
        f"{SERVER}/model/conflicts.py",
        "] = chain(holds, ahead)\n",
        "] = holds\n",
        _RULES,
    ),
    Mutant(
        "who waits is overtaken by a pattern",
        f"{SERVER}/model/reservations.py",
        "    waiters = conflicts.not_waiting_for(_mine(command, found), found.waiters)\n",
        "    waiters: tuple[WaiterFact, ...] = ()\n",
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
        "_exclude(chain(holds, ahead), who):\n",
        "_exclude(holds, who):\n",
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
        " = (*_giving_way(who, room), *_own_places(who, room))\n",
        " = (*_giving_way(who, room),)\n",
        _RULES,
    ),
    Mutant(
        "a place goes to another branch with its holder",
        f"{SERVER}/model/queues.py",
        "    place = PlaceRef(name, branch=command.claimant.branch)\n",
        "    place = PlaceRef(name)\n",
        _RULES,
    ),
    Mutant(
        "who has a file on one branch passes those who wait on another",
        f"{SERVER}/model/conflicts.py",
        "if not any(part.meets(w.claimant) for part in parts))\n",
        "if not parts)\n",
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
        "        return self.covers(other) or other.covers(self)\n",
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
        f"{SERVER}/model/reports.py",
        "since = command.asker, command.heard_revision + 1",
        "since = command.asker, command.heard_revision + 9",
        _REPORTS,
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
        "lock is None or lock.shared else lock\n",
        "lock is None else lock\n",
        _AGENT,
    ),
    Mutant(
        "a holder has one lock of a file, whatever the branch",
        f"{AGENT}/held.py",
        "    return lock.session, lock.agent, lock.branch\n",
        '    return lock.session, lock.agent, ""\n',
        _AGENT,
    ),
    Mutant(
        "a lock of every branch becomes one of that on which it is asked for again",
        f"{AGENT}/held_lock.py",
        "    lock = replace(lock, branch=before.branch and lock.branch)\n",
        "",
        ("tests/unit/agent/test_held.py",),
    ),
    Mutant(
        "what was being given back dies with its agent",
        f"{AGENT}/parts.py",
        "            self.locking.owed.take_over(session)\n",
        "            pass\n",
        (_REPLACED,),
    ),
    Mutant(
        "what the agent before was giving back is believed in",
        f"{AGENT}/registration.py",
        "            if session.remembered.has_given_back(held):\n",
        "            if False:\n",
        ("tests/unit/agent/test_registration.py",),
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
    Mutant(
        "an answer says of every grant that it is its asker's alone",
        f"{SERVER}/rpc/locks.py",
        "mode=who.mode, scope=who.scope",
        "mode=pb.LOCK_MODE_EXCLUSIVE, scope=who.scope",
        ("tests/unit/server/test_boundary.py",),
    ),
    Mutant(
        "an edit beside the holder of one file takes none of its others",
        f"{AGENT}/edits.py",
        'if isinstance(outcome, list) and request.conflict_action != "block":',
        "if False:",
        _AGENT,
    ),
    Mutant(
        "nobody asks how a lock ended in place of which its holder has more",
        f"{AGENT}/held.py",
        "kept[_grant(other)] = other",
        "kept.pop(_grant(other), None)",
        _AGENT,
    ),
    Mutant(
        "a denial is rendered as an allow",
        f"{HOOKS}/claude_code.py",
        '"permissionDecision": "deny"',
        '"permissionDecision": "allow"',
        ("tests/unit/hooks/test_claude_code.py",),
    ),
    Mutant(
        "an edit of several files takes the lock of the first alone",
        f"{AGENT}/edits.py",
        "        edits = [await self._look(session, event, path) for path in event.paths]\n",
        "        edits = [await self._look(session, event, path) for path in event.paths[:1]]\n",
        ("tests/unit/agent/test_edits.py", "tests/unit/agent/test_instead.py"),
    ),
    Mutant(
        "the shim lets an edit through that is to be blocked",
        f"{HOOKS}/plugin/hooks/shim.sh",
        '    block/PreToolUse) deny "$1" ;;\n',
        "",
        ("tests/unit/hooks/test_shim.py",),
    ),
    Mutant(
        "etcd says that a lease is gone, and it counts as renewed",
        f"{SERVER}/store/etcd/keepalive.py",
        "answer.set_result(message.TTL)",
        "answer.set_result(message.TTL or 1)",
        ("tests/contract/test_store_leases.py",),
    ),
    Mutant(
        "what etcd may have done is sent again to another member",
        f"{SERVER}/store/etcd/link.py",
        "        except TokenRefused:\n",
        "        except Exception:\n",
        _ETCD,
    ),
    Mutant(
        "a read may be of the past",
        f"{SERVER}/store/etcd/wire.py",
        "            min_mod_revision=since,\n",
        "            min_mod_revision=since,\n            serializable=True,\n",
        _ETCD,
    ),
    Mutant(
        "a count may be of the past",
        f"{SERVER}/store/etcd/wire.py",
        "range_end=self.end(end), count_only=True)",
        "range_end=self.end(end), count_only=True, serializable=True)",
        _ETCD,
    ),
    Mutant(
        "a watch goes on although its past is compacted",
        f"{SERVER}/store/etcd/watch.py",
        "            raise Compacted(message.compact_revision)\n",
        "            self._next = message.compact_revision\n"
        '            raise StoreUnavailable("it is compacted")\n',
        ("tests/contract/test_store_watch.py",),
    ),
    Mutant(
        "a hook without the token is answered",
        f"{AGENT}/listener.py",
        "        if not hmac.compare_digest(said, self._bearer):\n",
        "        if not said and not self._bearer:\n",
        ("tests/unit/agent/test_listener.py",),
    ),
    Mutant(
        "the embedded store remembers before it has written down",
        f"{SERVER}/store/embedded.py",
        "        if self._ledger:\n            self._record(self._ledger, change)\n"
        "        self._keyspace.apply(change, self._clock.now())\n",
        "        self._keyspace.apply(change, self._clock.now())\n"
        "        if self._ledger:\n            self._record(self._ledger, change)\n",
        ("tests/unit/server/test_embedded_store.py",),
    ),
    Mutant(
        "what was taken before a refusal is kept",
        f"{AGENT}/all_or_none.py",
        "        names = set(new)\n",
        "        names = set(list(new)[:0])\n",
        ("tests/unit/agent/test_all_or_none.py",),
    ),
    Mutant(
        "a grant whose answer lay unread is believed in",
        f"{AGENT}/held.py",
        "        return now < asked_at + self._belief_s\n",
        "        return True\n",
        ("tests/unit/agent/test_edits.py",),
    ),
    Mutant(
        "a grant is believed in on a lease that may have run out",
        f"{AGENT}/taking.py",
        " and self._held.believes(session, now)\n",
        " and bool(session)\n",
        ("tests/unit/agent/test_edits.py",),
    ),
    Mutant(
        "a lease that may have run out is not renewed before a lock is asked for",
        f"{AGENT}/taking.py",
        "            await self._registration.renew(request.session, request.project, PATIENCE_S)\n"
        "            answer",
        "            answer",
        ("tests/unit/agent/test_edits.py",),
    ),
    Mutant(
        "a turn is ended by what was seen of it",
        f"{SERVER}/model/queues.py",
        "    guards, done = _still_has_turn(project, waiter, seen), Delete(waiter.key)\n",
        "    guards, done = _still_has_turn(project, waiter, seen)[:1], Delete(waiter.key)\n",
        ("tests/unit/server/test_claims.py",),
    ),
    Mutant(
        "what came and went in one batch interrupts no turn",
        f"{SERVER}/picture.py",
        "                self._paths[at].interrupt(lock.fact.claimant)\n",
        "",
        ("tests/unit/server/test_claims.py",),
    ),
    Mutant(
        "what a command does itself counts as done before it",
        f"{SERVER}/dated.py",
        "result.revision - any(changed(txn, result))",
        "result.revision",
        ("tests/unit/server/test_dated.py",),
    ),
    Mutant(
        "only a break says when a lock was taken away",
        f"{SERVER}/model/endings.py",
        "    if end.how in _TAKEN:\n        taken_by",
        "    if end.how == Kind.BROKEN:\n        taken_by",
        ("tests/unit/server/test_relied.py",),
    ),
    Mutant(
        "a pattern is refused for what the view has in its way",
        f"{SERVER}/locking.py",
        "        if not result.succeeded:\n            return _live_room(",
        "        if not result:\n            return _live_room(",
        ("tests/unit/server/test_reservations.py",),
    ),
    Mutant(
        "a pulse of the lease before renews the next one",
        f"{AGENT}/heart.py",
        "            if session.lease == leases[session.session_id]:\n",
        "            if session.session_id in leases:\n",
        ("tests/unit/agent/test_heart.py",),
    ),
    Mutant(
        "what a session was not told dies with its agent",
        f"{AGENT}/kept_sessions.py",
        '        "losses": list(session.losses),\n',
        '        "losses": [],\n',
        ("tests/unit/agent/test_sessions.py", "tests/unit/agent/test_writing_down.py"),
    ),
    Mutant(
        "what a hook that has gone was to be told is told to nobody",
        f"{AGENT}/listener.py",
        "        if not written:\n            delivery.failed()\n",
        "        pass\n",
        ("tests/unit/agent/test_delivery.py",),
    ),
)
