"""Metrics of several nodes as one text."""

from hydra_ray.serve.observability.scrape import merge

NODE = """# HELP ray_other x
# TYPE ray_other gauge
ray_other{a="1"} 1
# HELP ray_hydra_requests_total Requests
# TYPE ray_hydra_requests_total counter
ray_hydra_requests_total{node="%s"} 3
"""


def test_ours_alone_each_family_once() -> None:
    merged = merge([NODE % "a", NODE % "b", ""])
    assert merged.splitlines() == [
        "# HELP ray_hydra_requests_total Requests",
        "# TYPE ray_hydra_requests_total counter",
        'ray_hydra_requests_total{node="a"} 3',
        'ray_hydra_requests_total{node="b"} 3',
    ]
