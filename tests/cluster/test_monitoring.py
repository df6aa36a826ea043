"""The Grafana dashboard: what Grafana needs is there, and every query asks for metrics and tags that exist."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import ray.serve
import yaml
from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE
from ray.dashboard.modules.reporter import reporter_head

from hydra_ray.serve.observability.metric_names import METRICS, RAY_SERVE, Metric

MONITORING = Path(__file__).parents[2] / "cluster" / "monitoring"
DASHBOARD = json.loads((MONITORING / "hydra_ray_serving.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
BY_SERIES = {series: metric for metric in (*METRICS, *RAY_SERVE) for series in metric.series}
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
RAYS_OWN_TAGS = {"SessionName", "NodeAddress", "WorkerId"}

SELECTOR = re.compile(r"([a-z_]+)\{([^}]*)\}")
AGGREGATE = re.compile(r"(?:sum|max)\((?P<inside>(?:[^()]|\([^()]*\))*)\) by \((?P<by>[^)]*)\)")


def _selectors(expression: str) -> Iterator[tuple[str, list[str]]]:
    """Series and the labels that are matched."""
    for series, matchers in SELECTOR.findall(expression):
        pairs = re.findall(r'(\w+)(=~|!~|!=|=)"[^"]*"(?:,|$)', matchers)
        assert ",".join(f"{label}{sign}" for label, sign in pairs) == re.sub(r'"[^"]*"', "", matchers), matchers
        yield series, [label for label, _ in pairs]


def _labels(series: str) -> set[str]:
    return {*BY_SERIES[series].tags, *RAYS_OWN_TAGS, *(["le"] if series.endswith("_bucket") else [])}


def test_what_grafana_needs_to_load_it() -> None:
    assert DASHBOARD["schemaVersion"] >= 36  # datasources are objects from here on
    assert DASHBOARD["id"] is None  # Grafana gives one
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert re.fullmatch(r"\d+s", DASHBOARD["refresh"])
    assert set(DASHBOARD["time"]) == {"from", "to"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_variables_are_defined_once_and_used() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    used = {"datasource", "__rate_interval"}
    for _, expression in EXPRESSIONS:
        used |= set(re.findall(r"\$(\w+)", expression))
    assert used == {*variables, "__rate_interval"}
    for variable in DASHBOARD["templating"]["list"][1:]:
        series, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
        assert label in _labels(series)
        assert variable["query"]["query"] == variable["definition"]
        assert variable["allValue"] == ".*"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"timeseries", "stat"}
    assert panel["title"]
    assert panel["description"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    # https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options/#unit
    assert panel["fieldConfig"]["defaults"]["unit"] in {"reqps", "ops", "ms", "percentunit", "short", "bytes"}
    assert panel["targets"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert target["legendFormat"] or panel["type"] == "stat"
        legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(",")}
        assert legend <= grouped


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        assert columns.stop <= 24
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[title for title, _ in EXPRESSIONS])
def test_query_asks_for_what_exists(title: str, expression: str) -> None:
    selectors = list(_selectors(expression))
    assert selectors
    for series, labels in selectors:
        assert series in BY_SERIES, series
        assert set(labels) <= _labels(series), series
        assert "SessionName" in labels
    assert expression.count("(") == expression.count(")")
    for aggregate in AGGREGATE.finditer(expression):
        for series, _ in _selectors(aggregate["inside"]):
            assert {label.strip() for label in aggregate["by"].split(",")} <= _labels(series)
    assert expression.count(" by (") == len(AGGREGATE.findall(expression))
    words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r'"[^"]*"|\$\w+', "", SELECTOR.sub("", expression))))
    known = {label for series, _ in selectors for label in _labels(series)}
    assert words <= {"sum", "max", "rate", "increase", "histogram_quantile", "by", "or", "vector", *known}


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[title for title, _ in EXPRESSIONS])
def test_counters_are_read_as_rates_and_gauges_as_they_are(title: str, expression: str) -> None:
    for match in SELECTOR.finditer(expression):
        before, after = expression[: match.start()], expression[match.end() :]
        over_time = before.endswith(("rate(", "increase(")) and after.startswith("[$__rate_interval])")
        assert over_time == (BY_SERIES[match[1]].kind != "gauge"), match[0]
    if "_bucket" in expression:
        assert re.match(r"histogram_quantile\(0\.\d+, sum\(rate\(", expression)
        assert "by (le" in expression


def test_every_metric_of_ours_is_shown() -> None:
    shown = {BY_SERIES[series] for _, expression in EXPRESSIONS for series, _ in _selectors(expression)}
    assert shown == {*METRICS, *RAY_SERVE}


@pytest.mark.parametrize("metric", RAY_SERVE, ids=lambda metric: metric.name)
def test_metrics_of_ray_serve_exist_in_the_pinned_ray(metric: Metric) -> None:
    sources = "\n".join(file.read_text() for file in Path(ray.serve.__file__).parent.glob("_private/*.py"))
    declared = re.search(rf'metrics\.(\w+)\(\s*"{metric.name}"', sources)
    assert declared is not None
    assert declared[1].lower() == metric.kind


def test_the_snippets_of_the_readme_parse_and_name_what_exists() -> None:
    text = (MONITORING / "README.md").read_text()
    prometheus, elsewhere, local, monitor, rules, grafana = (
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    )
    (job,) = prometheus["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]
    (kept,) = job["metric_relabel_configs"]
    assert all(re.fullmatch(kept["regex"], series) for series in BY_SERIES)
    assert not re.fullmatch(kept["regex"], "ray_node_cpu_utilization")
    assert urlsplit(elsewhere["http_sd_configs"][0]["url"]).path in inspect.getsource(reporter_head)
    (target,) = local["scrape_configs"][0]["static_configs"][0]["targets"]
    assert f"--metrics-port {target.rpartition(':')[2]}" in text
    assert all((MONITORING / name).exists() for name in rules["rule_files"])
    assert grafana["providers"][0]["type"] == "file"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    service = (MONITORING.parent / "kubernetes" / "base" / "rayservice.yaml").read_text()
    assert f"name: {endpoint['port']}}}" in service
    titles = {panel["title"] for panel in PANELS}
    for title in re.findall(r"\*([A-Z][\w ]+)\*[^*]", text):
        assert any(title in known for known in titles), title
