"""What is known of a night after it: who is told of what went wrong, and its figures for Prometheus.

``history`` reads runs off Dagster; everything else here runs without it.
"""
