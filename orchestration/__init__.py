"""Dagster and the command line: assets, checks, jobs, schedules, sensors. They call the other rooms."""
