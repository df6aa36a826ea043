"""What a cluster says of its applications."""

from typing import Any

from hydra_ray.serve.deploy.details import (
    clashing,
    files_before,
    leaving,
    running_now,
    served_at,
    states,
    touched,
    unlike,
)


def _details() -> dict[str, Any]:
    replicas = [{"state": "RUNNING"}, {"state": "STARTING"}]
    part = {"status": "UPDATING", "message": "waiting for CPU", "target_num_replicas": 2, "replicas": replicas}
    hydra = {"status": "DEPLOYING", "message": "", "source": "declarative", "route_prefix": "/"}
    llm = {"status": "RUNNING", "message": "", "source": "declarative", "route_prefix": None, "deployments": {}}
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": 8000, "ssl_keyfile_password": "hunter2"},
        "proxies": {"n1": {"node_ip": "10.0.0.2"}, "n2": {"node_ip": "10.0.0.1"}},
        "applications": {"hydra": {**hydra, "deployments": {"Scorer": part}}, "llm": llm},
    }


def test_states_hold_replicas_and_every_message() -> None:
    hydra, llm, missing = states(["hydra", "llm", "new"], _details())
    assert (hydra.status, hydra.parts, hydra.message) == ("DEPLOYING", {"Scorer": (1, 2)}, "waiting for CPU")
    assert (llm.status, llm.parts) == ("RUNNING", {})
    assert (missing.status, missing.parts) == ("NOT_STARTED", {})


def test_options_that_a_running_serve_would_ignore_are_named() -> None:
    same = {"proxy_location": "HeadOnly", "http_options": {"host": "127.0.0.1", "port": 8000}}
    assert not list(unlike(same, _details()))
    other = {"proxy_location": "EveryNode", "http_options": {"port": 9000, "ssl_keyfile_password": "hunter3"}}
    differences = "; ".join(unlike(other, _details()))
    assert "http_options.port 8000 (the file: 9000)" in differences
    assert "proxy_location HeadOnly (the file: EveryNode)" in differences
    assert "ssl_keyfile_password" in differences
    assert "hunter" not in differences
    assert not list(unlike(other, {"applications": {}, "proxies": {}}))  # Serve does not run yet


def test_only_what_a_file_deployed_is_removed_by_another() -> None:
    details = _details()
    details["applications"]["by-hand"] = {"source": "imperative"}
    assert leaving(["hydra"], details) == ["llm"]


def test_what_others_may_miss_is_named() -> None:
    details = _details()
    details["applications"]["by-hand"] = {"source": "imperative", "status": "RUNNING"}
    assert touched(["hydra"], details) == ["llm is not in the file and is removed"]
    assert touched(["hydra", "llm"], details) == []
    assert touched(["hydra", "llm", "by-hand"], details) == ["by-hand was started by another program and is replaced"]
    assert running_now(["hydra"], details) == [
        "runs there now: by-hand RUNNING, left as it is",
        "runs there now: hydra DEPLOYING, updated",
        "runs there now: llm RUNNING, removed",
    ]


def test_two_applications_at_one_path() -> None:
    details = _details()
    details["applications"]["by-hand"] = {"source": "imperative", "route_prefix": "/mine"}
    ours = [{"name": "new", "route_prefix": "/mine"}, {"name": "llm", "route_prefix": None}]
    assert clashing({"applications": ours}, details) == ["by-hand answers at /mine already, where new is to be"]
    details["applications"]["by-hand"]["source"] = "declarative"  # goes anyway
    assert clashing({"applications": ours}, details) == []


def test_the_file_that_undoes_a_deployment() -> None:
    details = _details()
    details["applications"]["by-hand"] = {"source": "imperative", "deployed_app_config": {"name": "by-hand"}}
    details["applications"]["hydra"]["deployed_app_config"] = {"name": "hydra", "import_path": "a:b"}
    options = {"http_options": {"port": 1}}
    before = files_before({**options, "applications": [{"name": "new"}]}, details)
    assert before == {**options, "applications": [{"name": "hydra", "import_path": "a:b"}]}
    assert files_before({"applications": [{"name": "new"}]}, {}) == {"applications": []}


def test_where_it_is_served() -> None:
    details = _details()
    assert list(served_at(["hydra", "llm"], details)) == [
        "hydra: running at http://127.0.0.1:8000/",
        "llm: running, on a port of its own",
    ]
    details["http_options"] |= {"host": "0.0.0.0", "ssl_certfile": "/a"}
    assert next(served_at(["hydra"], details)) == "hydra: running at https://10.0.0.1:8000/, https://10.0.0.2:8000/"
