"""The rule of notices: what lies in a session's inbox until it was told."""

from scoord.ids import LeaseId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import NoticeRecord
from scoord_server.model.compares import absent, lives
from scoord_server.store import keys
from scoord_server.store.port import Put, Txn


def plan_notice(
    project: str, to: Holder, lease: LeaseId, notice_id: str, notice: NoticeRecord
) -> Txn:
    """Lay something into a session's inbox, once, while the session lives."""
    key = keys.notice(project, to.session_id, notice_id)
    guards = (lives(project, to.session_id), absent(key))
    return Txn(guards, (Put(key, notice.SerializeToString(), lease),))
