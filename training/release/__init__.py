"""A release: what goes live together, how it is written, read and judged."""
