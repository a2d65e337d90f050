"""Doctor: everything that must hold before, and while, sessions are scored exactly once."""

from clickstream.operate.doctor.check import Check, Status
from clickstream.operate.doctor.examine import examine

__all__ = ["Check", "Status", "examine"]
