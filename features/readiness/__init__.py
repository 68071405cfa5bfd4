"""Whether a shop's logs and catalogue can be trained on, before anything is trained.

``assess`` reads them as a run does, into a home of its own, and applies a run's own rules; what it measures besides is
counted by DuckDB over the session tables.
"""

from features.readiness.assess import assess
from features.readiness.page import write_page
from features.readiness.report import Readiness
from features.readiness.sample import parse_sample

__all__ = ["Readiness", "assess", "parse_sample", "write_page"]
