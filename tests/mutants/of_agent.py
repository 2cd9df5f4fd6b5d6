"""Mistakes that are planted in the agent and the hooks."""

from mutants.mutant import AGENT, HOOKS, Mutant

_AGENT = ("tests/unit/agent",)
_REPLACED = (
    "tests/integration/test_agent_replaced.py"
    "::test_what_an_agent_was_giving_back_is_given_back_by_the_next_one"
)

MUTANTS = (
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
        f"{AGENT}/grants.py",
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
        "instead_of=(*over, *same)",
        "instead_of=same",
        _AGENT,
    ),
    Mutant(
        "the deadline counts from the answer",
        f"{AGENT}/heart.py",
        "                self._feel(session, sent_at, pulses)\n",
        "                self._feel(session, self._clock.now(), pulses)\n",
        ("tests/unit/agent/test_heart.py",),
    ),
    Mutant(
        "a host that begins like ours is ours",
        f"{AGENT}/listener.py",
        'if request.headers.get("Host") != self._host:',
        'if not request.headers.get("Host", "").startswith(self._host):',
        ("tests/integration/test_bad_input.py",),
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
        "a hook without the token is answered",
        f"{AGENT}/listener.py",
        "        if not hmac.compare_digest(said, self._bearer):\n",
        "        if not said and not self._bearer:\n",
        ("tests/unit/agent/test_listener.py",),
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
        "await self._registration.renew(request.session, request.project, PATIENCE_S)\n"
        "                answer",
        "answer",
        ("tests/unit/agent/test_edits.py",),
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
        "what a session was promised is not known to the next agent",
        f"{AGENT}/kept_sessions.py",
        "        waited=_waited(kept),\n",
        "",
        ("tests/unit/agent/test_sessions.py", "tests/unit/agent/test_missed_places.py"),
    ),
    Mutant(
        "what a hook that has gone was to be told is told to nobody",
        f"{AGENT}/listener.py",
        "        if not written:\n            delivery.failed()\n",
        "        pass\n",
        ("tests/unit/agent/test_delivery.py",),
    ),
    Mutant(
        "a later grant hides what an earlier edit relied on",
        f"{AGENT}/protection.py",
        "        if before is None or before.token == token:\n",
        "        if True:\n",
        ("tests/unit/agent/test_unlocked_edits.py",),
    ),
    Mutant(
        "a share that became more is told to be taken away",
        f"{AGENT}/reclaiming.py",
        "    return lock.shared and end.became_more\n",
        "    return False\n",
        ("tests/unit/agent/test_reclaiming.py",),
    ),
)
