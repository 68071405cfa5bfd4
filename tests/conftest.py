"""What every test gets: no telemetry."""

from __future__ import annotations

from infra.telemetry import silence

silence()
