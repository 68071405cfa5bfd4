"""The HTTP API and the search page. ``python -m serving.api`` serves them."""
