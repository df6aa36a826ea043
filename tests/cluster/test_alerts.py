"""The alerts ask for series, tags and values that the service exports, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from hydra_ray.inference.trace import Reason
from hydra_ray.serve.observability.metric_names import METRICS

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "cluster" / "monitoring"
(GROUP,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
RULES = GROUP["rules"]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
BY_SERIES = {series: metric for metric in METRICS for series in metric.series}
DEPLOYMENTS = {"Gateway", "Fitter"}
"""That watch the LLM."""

by_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])


@by_alert
def test_every_series_and_tag_is_exported(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    series = set(re.findall(r"\bray_\w+", expression))
    assert series
    assert series <= set(BY_SERIES)
    assert set(re.findall(r"hydra_ray:[\w:]+", expression)) <= RECORDED
    for name, matchers in re.findall(r"(ray_\w+)\{([^}]*)\}", expression):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
            assert label in BY_SERIES[name].tags
            known = {"reason": set(get_args(Reason)), "deployment": DEPLOYMENTS}.get(label)
            assert known is None or set(values.split("|")) <= known
    for name, after in re.findall(r"(ray_\w+)(?:\{[^}]*\})?(\[\w+\])?", expression):
        assert (BY_SERIES[name].kind != "gauge") == bool(after), "counters are read as rates, gauges as they are"


@by_alert
def test_every_alert_says_what_is_the_matter_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}


def test_every_limit_that_is_to_be_set_is_used() -> None:
    assert {name for rule in ALERTS for name in re.findall(r"hydra_ray:[\w:]+", rule["expr"])} == RECORDED


def test_every_alert_is_documented_and_tried() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    names = [rule["alert"] for rule in ALERTS]
    assert re.findall(r"^\| (HydraRay\w+) \|", page, re.MULTILINE) == names
    tried = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]
    fires = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case["exp_alerts"]}
    stays_silent = {case["alertname"] for test in tried for case in test["alert_rule_test"] if not case["exp_alerts"]}
    assert fires == stays_silent == set(names)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing (Debian's package prometheus)")
@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")])
def test_promtool_finds_no_fault(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
