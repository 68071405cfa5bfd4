"""Dagster, and nothing else: assets, checks, jobs, schedules, sensors, and the command line. It calls the other rooms."""
