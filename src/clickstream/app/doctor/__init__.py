"""Doctor: everything that must hold before, and while, sessions are scored exactly once."""

from clickstream.app.doctor.check import Check, Status
from clickstream.app.doctor.examine import examine

__all__ = ["Check", "Status", "examine"]
