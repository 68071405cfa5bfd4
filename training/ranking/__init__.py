"""The second stage: candidates from several sources in one order, learned from later requests."""
