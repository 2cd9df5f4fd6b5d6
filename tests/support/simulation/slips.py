"""C9: what slips past. Each edit that was let through unasked is reported, and all it met are told.

Who must be told is worked out at the store: whom an edit met when it was reported. What
they were told is in the texts that they were given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scoord.claimant import Claimant
from scoord.config import Settings
from scoord.names import path_key
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord.v1.records_pb2 import TraceRecord
from support.simulation.oracle import excludes
from support.simulation.people import Person
from support.simulation.record import Record
from support.simulation.reliance import Overtaken, Reliance
from support.simulation.truth import Grant, Truth
from support.simulation.turns import FASTEST, SLOWEST

NEWS_S = 2.0
"""What was reported later may not have been heard of."""


@dataclass(frozen=True, slots=True)
class Slip:
    """An edit that went on although nobody could be asked."""

    path: str
    who: Claimant
    at_s: float
    met: tuple[Grant, ...]
    """The grants of others that stood then, beside which it should not have been made."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A report as the store has it."""

    path: str
    editor: Claimant
    kind: str
    at_s: float
    met: tuple[Grant, ...]
    """As above, when it was reported."""
    leases: tuple[int, ...]
    """On which lease each was: a notice goes with it."""
    revision: int = 0
    request: str = ""


@dataclass(frozen=True, slots=True)
class Unheard:
    """A lock that was lost and is its session's again, though others edited its file meanwhile."""

    grant: Grant
    report: Reported


@dataclass(frozen=True, slots=True)
class Denied:
    """A report that met nobody, as a coordinator judged."""

    session: str
    path: str
    at_s: float

    def may_be_wrong(self, edit: Overtaken) -> bool:
        """Whether an edit was before the end of its lock by clocks that have run apart since."""
        is_of = (self.session, self.path) == (edit.session, edit.path) and self.at_s >= edit.since_s
        apart_s = (FASTEST / SLOWEST - 1) * (self.at_s - edit.at_s)
        return is_of and edit.at_s - edit.grant.until_s <= apart_s


@dataclass
class Slips:
    """Gathers edits and reports while they happen; checked when all is calm."""

    record: Record
    truth: Truth
    settings: Settings
    edits: list[Slip] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)
    """The request ids of reports: one that is repeated tells nobody twice."""
    reports: list[Reported] = field(default_factory=list)
    unheard: list[Unheard] = field(default_factory=list)
    by_clock: set[str] = field(default_factory=set)
    """The request ids of reports whose agents had heard nothing before the edits: only clocks
    tell what stood then."""
    denied: dict[str, Denied] = field(default_factory=dict)
    """By request id the reports that were answered: it met nobody, as its lock stood then."""
    reliance: Reliance = field(init=False)

    def __post_init__(self) -> None:
        self.reliance = Reliance(self.record, self.truth)

    def let_through(self, path: str, who: Claimant) -> None:
        """An edit goes on unasked, and its agent knows whose it is."""
        self.edits.append(Slip(path, who, self.record.loop.true_s, self._met(path, who)))

    def reported(self, path: str, trace: TraceRecord) -> None:
        """The store takes a report in, with what it is answered."""
        editor = self._editor(trace)
        met = () if trace.request_id in self._told else self._met(path, editor)
        self._told.add(trace.request_id)
        now_s, leases = self.record.loop.true_s, tuple(grant.lease for grant in met)
        at = self.truth.revision
        report = Reported(path, editor, trace.how, now_s, met, leases, at, trace.request_id)
        self.reports.append(report)
        self.record.say(
            "store", "report", trace.how, path, editor.session, *(g.session for g in met)
        )

    def reclaimed(self, grant: Grant, lost: int) -> None:
        """A lost lock is given back: what was edited since is news to its session."""
        for report in self.reports:
            is_since = report.path == grant.path and report.revision > lost
            is_anothers = report.editor.session != grant.session
            if is_since and is_anothers and excludes(report.editor, grant.who):
                self.record.counts["given back after an edit"] += 1
                self.unheard.append(Unheard(grant, report))

    def _met(self, path: str, editor: Claimant) -> tuple[Grant, ...]:
        others = (grant for grant in self.truth.at(path) if grant.session != editor.session)
        return tuple(grant for grant in others if excludes(grant.who, editor))

    def _editor(self, trace: TraceRecord) -> Claimant:
        confined = self.settings.session_coordination.scope == "branch"
        scope = LockScope.LOCK_SCOPE_BRANCH if confined else LockScope.LOCK_SCOPE_REPOSITORY
        return Claimant.of(trace.holder, LockMode.LOCK_MODE_EXCLUSIVE, scope)

    def check(self, people: Sequence[Person]) -> None:
        """See that all is reported, and told to both sides."""
        for slip in self.edits:
            report = next((report for report in self.reports if _is_of(report, slip)), None)
            if report is None:
                self.record.violate("C9", f"{slip} was never reported")
            else:
                self._check_met(slip, report, people)
        for edit in self.reliance.overtaken:
            self._check_overtaken(edit, people)
        for back in self.unheard:
            holder = _alive(people, back.grant.session)
            if holder and not _hears_of(holder, back.report):
                self.record.violate(
                    "C9", f"{holder.name} has {back.grant} again, unaware of {back}"
                )
        for report in self.reports:
            if report.met and report.at_s < self.record.loop.true_s - NEWS_S:
                self._check_told(report, people)

    def _check_overtaken(self, edit: Overtaken, people: Sequence[Person]) -> None:
        """What its agent could know when it heard of the end is reported."""
        key = edit.session, edit.path
        reports = (r for r in self.reports if (r.editor.session, r.path) == key)
        is_reported = any(report.at_s >= edit.since_s for report in reports)
        is_known = not edit.process.dead and _alive(people, edit.session)
        if is_known and not is_reported and any(d.may_be_wrong(edit) for d in self.denied.values()):
            self.record.gaps["edited when its lock was over, but not by clocks that differ"] += 1
        elif is_known and not is_reported:
            self.record.violate("C9", f"{edit} was never reported")

    def _check_met(self, slip: Slip, report: Reported, people: Sequence[Person]) -> None:
        """Whoever had the file when it was edited is told, although it has it no more."""
        for grant in slip.met:
            holder = _alive(people, grant.session)
            if grant in report.met or holder is None or _hears_of(holder, slip):
                continue
            if self.truth.lease_of(grant.session, grant.path) != grant.lease:
                self.record.gaps["met one whose lease was over by the report"] += 1
            elif report.request in self.by_clock and _may_be_earlier(grant, slip, report):
                self.record.gaps["met one whose lock was over by then, by clocks that differ"] += 1
            elif self._is_followed(grant, report):
                self.record.gaps["met one after whom another was granted the file"] += 1
            else:
                self.record.violate("C9", f"{holder.name}, who had {grant}, is not told of {slip}")

    def _is_followed(self, grant: Grant, report: Reported) -> bool:
        """Whether another session was granted it by the report: its trace may hide the first's.

        That of a pattern is its holder's own, and hidden by nobody.
        """
        if grant.is_pattern:
            return False
        later = (g for g in self.truth.later(grant) if g.session != grant.session)
        return any(other.since_s <= report.at_s for other in later)

    def _check_told(self, report: Reported, people: Sequence[Person]) -> None:
        editor = _alive(people, report.editor.session)
        if report.request in self.denied:
            # One coordinator was in doubt, and its answer came too late; another knew.
            self.record.gaps["reported in doubt, and denied by another coordinator"] += 1
        elif editor and not _hears(editor, report.at_s, f"You edited {report.path} "):
            self.record.violate("C9", f"{editor.name} is not told whom it met: {report}")
        for grant in self._on_their_lease(report):
            holder = _alive(people, grant.session)
            if holder and not _hears_of(holder, report):
                self.record.violate("C9", f"{holder.name} is not told of {report}")

    def _on_their_lease(self, report: Reported) -> Iterable[Grant]:
        """Whom a notice reaches: on another lease it has lost that lock, and is told of that.

        That is C4; or it has it again, and is told of the edit by that.
        """
        pairs = zip(report.met, report.leases, strict=True)
        of = self.truth.lease_of
        return (grant for grant, lease in pairs if of(grant.session, grant.path) == lease)


def _is_of(report: Reported, slip: Slip) -> bool:
    """Whether it says all that there is to say of the edit: it is of it or of a later one."""
    same = (report.editor.session, report.path) == (slip.who.session, slip.path)
    return same and report.at_s >= slip.at_s


def _may_be_earlier(grant: Grant, slip: Slip, report: Reported) -> bool:
    """Whether a lock was over when an edit was made, by how long ago its agent's clock says it was.

    That clock may go slower than the coordinator's, and the report was on its way.
    """
    ago_s = report.at_s - slip.at_s
    return grant.until_s <= slip.at_s + (1 - SLOWEST / FASTEST) * ago_s + NEWS_S


def _alive(people: Iterable[Person], session: str) -> Person | None:
    return next((person for person in people if f"_{person.pid}_" in session), None)


def _hears_of(holder: Person, edit: Slip | Reported) -> bool:
    return _hears(holder, edit.at_s, f" edited {edit.path} ")


def _hears(person: Person, since_s: float, words: str) -> bool:
    said = (told.text for told in person.told if told.at_s >= since_s)
    return any(path_key(words) in path_key(text) for text in said)
