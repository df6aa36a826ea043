"""The table of metrics: names and buckets that Ray and Prometheus take, no tag that could name a user."""

import re

import pytest

from hydra_ray.serve.observability.metric_names import METRICS, Metric

ALLOWED_TAGS = {"stage", "route", "status", "reason", "component", "deployment", "cache", "kind", "outcome"}


def test_names_are_given_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric(metric: Metric) -> None:
    assert re.fullmatch(r"hydra_[a-z_]+", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert set(metric.tags) <= ALLOWED_TAGS
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted({bound for bound in metric.buckets if bound > 0})


@pytest.mark.cluster
def test_prometheus_reads_every_metric_under_the_names_that_are_documented() -> None:
    import time
    import urllib.request

    import ray
    from ray.util import metrics

    def emit() -> list[object]:
        kept: list[object] = []
        for metric in METRICS:
            tags = dict.fromkeys(metric.tags, "x")
            if metric.kind == "counter":
                counter = metrics.Counter(metric.name, metric.help, metric.tags)
                counter.inc(1, tags)
                kept.append(counter)
            elif metric.kind == "gauge":
                gauge = metrics.Gauge(metric.name, metric.help, metric.tags)
                gauge.set(1, tags)
                kept.append(gauge)
            else:
                histogram = metrics.Histogram(metric.name, metric.help, list(metric.buckets), metric.tags)
                histogram.observe(3, tags)
                kept.append(histogram)
        return kept

    often = {"metrics_report_interval_ms": 1000}  # by default every ten seconds
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, _system_config=often)
    try:
        kept = emit()
        url = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"
        deadline = time.monotonic() + 60
        while True:
            with urllib.request.urlopen(url, timeout=10) as response:
                lines = response.read().decode().splitlines()
            exported = {line.split("{")[0]: line for line in lines if line.startswith("ray_hydra_")}
            missing = [series for metric in METRICS for series in metric.series if series not in exported]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(1)
        assert kept
        assert not missing
        for metric in METRICS:
            for series in metric.series:
                assert all(f'{tag}="x"' in exported[series] for tag in metric.tags)
                assert 'SessionName="' in exported[series]
    finally:
        ray.shutdown()
