"""How values of UBI rows are read: what the reader of the logs and the server that takes rows agree on."""

from __future__ import annotations

NO_VALUES = ("null", "none", "undefined", "nan")
"""What programs write for "there is none" where a text is asked for (lower case)."""
EPOCH_BOUNDS = (1e11, 1e14, 1e17)
"""Numbers below these are seconds, milli-, microseconds since 1970; nanoseconds above. 1e11 seconds are the year 5138,
1e11 milliseconds 1973."""
HITS = ("query_response_hit_ids", "query_response_object_ids")
"""Where a query has the ids of the items shown: in UBI 1.3, and before it."""
