"""What answers hooks: these parts, wired together."""

from scoord_agent.awareness import Awareness
from scoord_agent.commits import Commits
from scoord_agent.common import Common
from scoord_agent.edits import Edits
from scoord_agent.handing_back import HandingBack
from scoord_agent.judging import Judging
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.locking import Locking
from scoord_agent.protection import Protection
from scoord_agent.relay import Relay
from scoord_agent.reporting import Reporting
from scoord_agent.suggest import Instead
from scoord_agent.welcoming import Welcoming


def relay(
    common: Common,
    awareness: Awareness,
    locking: Locking,
    edits: Edits,
    *,
    lifecycle: Lifecycle,
    welcoming: Welcoming,
) -> Relay:
    """What decides about every event of a hook."""
    return Relay(
        lifecycle=lifecycle,
        welcoming=welcoming,
        edits=edits,
        taking=locking.taking,
        held=common.held,
        handing_back=_handing_back(common, awareness, locking),
        activity=awareness.activity,
        publishing=awareness.publishing,
        dependents=awareness.dependents,
        pursuits=awareness.pursuits,
        settings=common.settings,
        background=common.background,
        turns=common.turns,
        clock=common.clock,
    )


def instead(common: Common, awareness: Awareness) -> Instead:
    """What is free beside what is taken; it keeps nothing of its own."""
    return Instead(
        neighbours=awareness.neighbours,
        held=common.held,
        knowing=awareness.knowing,
        clock=common.clock,
    )


def edits(
    common: Common,
    awareness: Awareness,
    locking: Locking,
    protection: Protection,
    reporting: Reporting,
) -> Edits:
    """What decides about edits."""
    return Edits(
        taking=locking.taking,
        registration=locking.registration,
        held=common.held,
        neighbours=awareness.neighbours,
        protection=protection,
        reporting=reporting,
        judging=_judging(common, awareness, locking),
        locator=common.locator,
        settings=common.settings,
        clock=common.clock,
        editing=awareness.dependents.editing,
        edited=awareness.edited,
    )


def _judging(common: Common, awareness: Awareness, locking: Locking) -> Judging:
    return Judging(
        registration=locking.registration,
        held=common.held,
        neighbours=awareness.neighbours,
        hold_times=awareness.hold_times,
        instead=instead(common, awareness),
        locator=common.locator,
        settings=common.settings,
        clock=common.clock,
    )


def _handing_back(common: Common, awareness: Awareness, locking: Locking) -> HandingBack:
    commits = Commits(
        sessions=common.sessions,
        held=common.held,
        background=common.background,
        committed=awareness.activity.committed,
    )
    return HandingBack(
        taking=locking.taking,
        held=common.held,
        settings=common.settings,
        locator=common.locator,
        background=common.background,
        clock=common.clock,
        committed=commits.made,
    )
