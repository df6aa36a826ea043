"""What `hydra-ray serve` refuses: one line, exit code 2, before anything is started."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from hydra_ray.cli import main
from hydra_ray.cluster import metrics_addresses
from hydra_ray.errors import UserError
from hydra_ray.serve.bundle import REPORT
from hydra_ray.serve.local import metrics_line, starting
from tests.serve.refusals import Refused
from tests.serve.running import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of a server that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_no_run(refused: Refused, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert f"--run {tmp_path / 'none'}: there is no such folder" in refused(tmp_path / "none")
    assert main(["serve"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "run: Field required" in line


def test_a_port_in_use(refused: Refused, whole: Path, taken: int) -> None:
    assert refused(whole, "--port", str(taken)) == (
        f"--port: 127.0.0.1:{taken}: Address already in use: set another port"
    )
    assert "set another port" in refused(whole, "--port", "99999")


def test_a_port_for_metrics_that_cannot_be_had(refused: Refused, whole: Path, taken: int) -> None:
    assert refused(whole, "--metrics-port", str(taken)).startswith(f"--metrics-port: 127.0.0.1:{taken}: Address")
    port = str(free_port())
    line = refused(whole, "--port", port, "--metrics-port", port)
    assert line == f"--metrics-port: {port} is the service's own port; give another"
    line = refused(whole, "--metrics-port", port, "--address", "10.0.0.7:6379")
    assert line == "--metrics-port: the nodes of the cluster at 10.0.0.7:6379 have ports of their own; leave it out"


def test_traces_that_could_go_nowhere(refused: Refused, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    assert refused(whole, "--port", str(free_port()), "traces=true") == (
        "traces: environment variable OTEL_EXPORTER_OTLP_ENDPOINT is no URL: give http://HOST:4318, say"
    )


def test_the_addresses_of_metrics_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"Alive": False, "NodeManagerAddress": "10.0.0.1", "MetricsExportPort": 1},
        {"Alive": True, "NodeManagerAddress": "10.0.0.2", "MetricsExportPort": 8080},
        {"Alive": True, "NodeManagerAddress": "fd00::3", "MetricsExportPort": 8081},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    urls = metrics_addresses()
    assert urls == ["http://10.0.0.2:8080/metrics", "http://[fd00::3]:8081/metrics"]
    assert metrics_line(urls, joined=False) == f"metrics for Prometheus at {urls[0]}"
    assert metrics_line(urls, joined=True).endswith(f"at each of the cluster's 2 nodes, such as {urls[0]}")


def test_keys_that_others_can_read(refused: Refused, whole: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert "No such file" in refused(whole, "--keys", str(keys))
    keys.write_text("acme:0123456789abcdef\n")
    keys.chmod(0o644)
    line = refused(whole, "--keys", str(keys))
    assert line == f"{keys}: others can read or change these keys; run: chmod 600 {keys}"
    keys.chmod(0o600)
    keys.write_text("acme:short\n")
    assert refused(whole, "--keys", str(keys)).startswith(f"{keys}, line 1: the key has 5 characters")


def test_everybody_reaches_it_and_there_are_no_keys(refused: Refused, whole: Path) -> None:
    for more in ((), ("allow_anonymous=true",)):
        line = refused(whole, "--host", "0.0.0.0", *more)
        assert line.startswith("--host 0.0.0.0: others reach it, but there are no API keys")


def test_a_black_box_that_does_not_answer(
    refused: Refused, whole: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_ray.serve.local.LLM_CHECK_S", 0.2)
    for port in (free_port(), taken):
        line = refused(whole, "--llm-url", f"http://127.0.0.1:{port}/v1")
        assert line.startswith(f"--llm-url http://127.0.0.1:{port}/v1: ")
        assert "start the language model first" in line
    assert "--llm-url nowhere" in refused(whole, "--llm-url", "nowhere")


def test_a_run_whose_workers_held_the_llm_needs_a_server(refused: Refused, run: Path) -> None:
    report = json.loads((run / REPORT).read_text())
    report["config"]["llm"]["serve"] |= {"engine": "transformers", "source": "google/flan-t5-base"}
    (run / REPORT).write_text(json.dumps(report))
    line = refused(run)
    assert line.startswith(
        "llm_url: not set, and the run's LLM, google/flan-t5-base, answered in the run's own workers"
    )
    # With one it is that server which is looked for.
    assert refused(run, "--llm-url", "nowhere").startswith("--llm-url nowhere")


def test_settings_that_there_are_not(refused: Refused, whole: Path) -> None:
    assert "scorer.thread: unknown key; did you mean 'threads'?" in refused(whole, "scorer.thread=2")
    assert "gateway.max_concurrent_requests" in refused(whole, "gateway.max_concurrent_requests=0")
    assert "replicas" in refused(whole, "scorer.replicas=[3,1]")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ray.exceptions.ActorDiedError(), "Ray Serve does not start: ActorDiedError: The actor died unexpectedly"),
        (
            ray.exceptions.RayActorError(error_msg="The actor died: error raised in its creation task.\nKeyError: 'k'"),
            "Ray Serve does not start: KeyError: 'k'",
        ),
        (RuntimeError("Traceback\nValueError: no such thing\n"), "Ray Serve does not start: ValueError: no such thing"),
    ],
)
def test_what_serve_raises_is_one_line(error: Exception, line: str) -> None:
    with pytest.raises(UserError) as caught, starting("Ray Serve"):
        raise error
    assert str(caught.value).startswith(line)
    assert "(Ray's logs say more)" in str(caught.value)
    assert "\n" not in str(caught.value)
