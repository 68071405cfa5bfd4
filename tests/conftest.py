"""What every test gets: no telemetry, and threads that wait quietly."""

from __future__ import annotations

from infra.telemetry import silence
from infra.threads import wait_quietly

silence()
wait_quietly()
