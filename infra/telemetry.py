"""The telemetry of the libraries that we use, off."""

from __future__ import annotations

import os
import warnings

SWITCHES = {
    # Keeps Dagster's webserver and daemon from uploading; `telemetry: {enabled: false}` in dagster.yaml keeps them from
    # collecting.
    "DAGSTER_DISABLE_TELEMETRY": "1",
    # Great Expectations 1.24 and Feast 0.67 send nothing by themselves; other versions of both read these.
    "GX_ANALYTICS_ENABLED": "false",
    "FEAST_USAGE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # ONNX Runtime from 1.29 on writes an id for this machine and uploads events unless this is set before its import.
    "ORT_DISABLE_TELEMETRY": "1",
}


def silence() -> None:
    """Switch off what the libraries, and those of child processes, send home. Call it before they are imported."""
    os.environ.update(SWITCHES)
    # Feast's own class, of a store that we do not use; nobody can mend it here.
    warnings.filterwarnings("ignore", message='Field name "vector_enabled"')
