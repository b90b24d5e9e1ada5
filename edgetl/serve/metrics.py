"""The station's numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgetl.serve.station import Station

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(station: Station) -> bytes:
    """All metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(station))
    content: bytes = generate_latest(registry)
    return content


class _Collector:
    """Reads the numbers when they are asked for."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def collect(self) -> Iterator[Any]:
        """See prometheus_client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        state, passes = self._station.state(), self._station.classifier.embedder.passes
        photos = GaugeMetricFamily("edgetl_photos", "Labelled photos.", labels=["class"])
        for each in state["classes"]:
            photos.add_metric([each["label"]], each["count"])
        yield photos
        yield GaugeMetricFamily("edgetl_inbox_frames", "Frames in the inbox.", state["inbox"])
        yield GaugeMetricFamily("edgetl_training", "1 while a head is trained.", int(state["training"]["running"]))
        yield CounterMetricFamily("edgetl_inferences", "Photos embedded since the start.", passes)
        if state["head"] is not None:
            yield GaugeMetricFamily("edgetl_head_id", "The active head.", state["head"]["id"])
            accuracy = state["head"]["accuracy"]
            if accuracy is not None:
                yield GaugeMetricFamily("edgetl_head_accuracy", "Leave-one-out accuracy of the active head.", accuracy["value"])
        if state["camera"] is not None:
            yield GaugeMetricFamily("edgetl_camera_frames_per_second", "Classified frames per second.", state["camera"]["fps"])
            if state["camera"]["latency_ms"] is not None:
                seconds = state["camera"]["latency_ms"] / 1000
                yield GaugeMetricFamily("edgetl_camera_latency_seconds", "From a frame's arrival to its answer.", seconds)
