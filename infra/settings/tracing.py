"""Settings of traces by OpenTelemetry."""

from __future__ import annotations

from pydantic import Field

from infra.settings.base import Group


class TracingSettings(Group):
    """Spans of searches, sent by OTLP over HTTP (protobuf); needs the extra ``otel``."""

    endpoint: str | None = Field(None, pattern=r"^https?://[^/]+")
    """Where they are sent, such as ``http://collector:4318/v1/traces``; None: nothing is traced. Headers, certificates
    and time-outs by the variables of OpenTelemetry's exporter, such as ``OTEL_EXPORTER_OTLP_HEADERS``."""
    sample: float = Field(1.0, ge=0, le=1)
    """Share of the searches that are traced, of those whose caller sends no ``traceparent``; of others the caller
    decides."""
    query_text: bool = False
    """The query's text as an attribute of its span."""
