"""How values of UBI rows are read: what the reader of the logs and the server that takes rows agree on."""

from __future__ import annotations

NO_VALUES = ("null", "none", "undefined", "nan")
"""What programs write for "there is none" where a text is asked for (lower case)."""
