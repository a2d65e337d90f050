"""Audit: proof, for the user's own run, that every session was scored exactly once, and right.

The clicks topic is read again from its first record through the same event-time logic as in the engine,
without a store, and each window that closes is held against the score that was published for it.
"""

from clickstream.audit.follow import Follower, RoundReport
from clickstream.audit.report import AuditReport
from clickstream.audit.run import run_audit

__all__ = ["AuditReport", "Follower", "RoundReport", "run_audit"]
