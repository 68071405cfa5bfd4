"""Great Expectations suites on raw sessions, features and training sets, with Data Docs that stand alone.

DuckDB counts over every row (nothing is sampled) and puts the figures of a day, or of the training set, into one row of
a small frame; Great Expectations judges that frame. So memory stays bounded at any size of log, an integrity rule
holds for all rows, and no query text or user id gets into a report.
"""

from features.quality.catalog import check_catalog
from features.quality.day_judge import SessionJudge
from features.quality.feature_views import check_features
from features.quality.history import first_run_until
from features.quality.results import ExpectationOutcome, SuiteResult, as_markdown, together
from features.quality.training_set import check_training_set

__all__ = [
    "ExpectationOutcome",
    "SessionJudge",
    "SuiteResult",
    "as_markdown",
    "check_catalog",
    "check_features",
    "check_training_set",
    "first_run_until",
    "together",
]
