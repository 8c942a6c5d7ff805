"""The append-only store of measurements: what lets a search resume, and machines join one."""

from steelyard.ledger.store import Ledger, SubjectLine

__all__ = ["Ledger", "SubjectLine"]
