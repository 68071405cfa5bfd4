"""A shop that makes raw sessions where none are given. Its hidden truth is for evaluation only."""
