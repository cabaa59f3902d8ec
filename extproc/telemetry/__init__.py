"""What the sidecar tells about itself: a JSON line per decision, and metrics for Prometheus."""

from __future__ import annotations

from extproc.telemetry.metrics import Metrics
from extproc.telemetry.records import JsonRecorder

__all__ = ["JsonRecorder", "Metrics"]
