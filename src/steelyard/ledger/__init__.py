"""The append-only store of measurements: what lets a search resume, and machines join one."""

from steelyard.ledger.outage import Outages
from steelyard.ledger.server import is_server, shown
from steelyard.ledger.store import Keeping, Ledger, SubjectLine

__all__ = ["Keeping", "Ledger", "Outages", "SubjectLine", "is_server", "shown"]
