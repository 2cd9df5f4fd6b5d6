"""What a history must show, whatever was done to the machines meanwhile."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from support.lab.load import History, Hook, Section, Verdict
from support.lab.store_log import Holding, StoreLog

ANSWER_S = 2.5
_SEEN_LATE_S = 1.0
"""How much later than it happened a follower may see a grant."""


def check(
    history: History, log: StoreLog, losing: Collection[str] = (), *, unheard: bool = False
) -> None:
    """Fail where a promise is broken; on the machines ``losing`` leases may have run out.

    ``unheard`` says that also what a hook did not hear of is to be kept: an agent that could
    ask nobody gives back what is granted late for an edit that it has refused.
    """
    assert not log.gaps, f"INVALID: the history of the store has gaps: {log.gaps}"
    assert not log.rewritten, f"what was committed is not what is there: {log.rewritten}"
    holdings = log.holdings()
    _check_tokens(holdings)
    _check_allowed(history.hooks, holdings)
    sure = [hook for hook in history.hooks if hook.machine not in losing]
    _check_kept(sure, holdings, whether_heard_or_not=unheard)
    _check_sections(history.sections)
    _check_answers(history.hooks)


def _check_tokens(holdings: Sequence[Holding]) -> None:
    """Of two grants of a path, the later one has the higher token."""
    for grants in _by_path(holdings).values():
        tokens = [grant.token for grant in sorted(grants, key=lambda g: g.granted_seen)]
        assert tokens == sorted(set(tokens)), f"tokens do not rise: {grants}"


def _check_allowed(hooks: Iterable[Hook], holdings: Sequence[Holding]) -> None:
    """Whoever was allowed an edit had the lock in the store at some moment of the asking."""
    by_path = _by_path(holdings)
    for hook in hooks:
        if hook.event == "PreToolUse" and hook.verdict is Verdict.ALLOWED:
            own = [grant for grant in by_path[hook.path] if grant.pid == hook.pid]
            assert any(_covers(grant, hook) for grant in own), (
                f"{hook} was allowed without a lock; its own grants: {own}"
            )


def _covers(grant: Holding, hook: Hook) -> bool:
    return grant.ended_seen >= hook.called and grant.granted_seen <= hook.answered + _SEEN_LATE_S


def _check_kept(
    hooks: Sequence[Hook], holdings: Iterable[Holding], *, whether_heard_or_not: bool
) -> None:
    """What lets a session edit it has until its end, under the same token."""
    by_path, ends = _by_path(holdings), {hook.pid: hook.called for hook in hooks}
    for hook in hooks:
        granted = hook.verdict is Verdict.ALLOWED or (whether_heard_or_not and hook.unheard)
        if hook.event == "PreToolUse" and granted:
            lost = [it for it in _latest(by_path, hook) if it.ended_seen < ends[hook.pid]]
            assert not lost, f"{hook} was given what was lost before the session's end: {lost}"


def _latest(by_path: dict[str, list[Holding]], hook: Hook) -> list[Holding]:
    """The grant that a hook got or met, if any; one that was just given back may be seen, too."""
    own = [it for it in by_path[hook.path] if it.pid == hook.pid and _covers(it, hook)]
    return sorted(own, key=lambda it: (it.granted_seen <= hook.answered, it.granted_seen))[-1:]


def _check_sections(sections: Iterable[Section]) -> None:
    """No two sessions edit one file at the same time."""
    last: dict[str, Section] = {}
    for section in sorted(sections, key=lambda s: s.began):
        before = last.get(section.path)
        if before is not None and before.pid != section.pid:
            assert before.ended <= section.began, f"two edit at once: {before} and {section}"
        if before is None or section.ended >= before.ended:
            last[section.path] = section


def _check_answers(hooks: Iterable[Hook]) -> None:
    """Every hook was answered in time."""
    late = [hook for hook in hooks if hook.took_s > ANSWER_S]
    assert not late, f"{len(late)} hooks took over {ANSWER_S} s, as {late[0]}"


def _by_path(holdings: Iterable[Holding]) -> dict[str, list[Holding]]:
    found: dict[str, list[Holding]] = defaultdict(list)
    for holding in holdings:
        found[holding.path].append(holding)
    return found
