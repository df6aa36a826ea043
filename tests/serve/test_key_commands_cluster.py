"""`hydra-ray keys` while a whole service with two gateways runs, whose keys are in a real database."""

from pathlib import Path

import httpx
import pytest

from hydra_ray.cli import main
from hydra_ray.utils.network import free_port
from tests.serve.run_folder import USERS, write_run
from tests.serve.running import LLM, start, until
from tests.serve.state.postgres_server import PostgresServer

WAIT_S = 120
BOTH = 20
"""Requests in a row, so that both gateways get some."""


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_keys_are_added_and_revoked_while_the_service_runs(
    postgres: PostgresServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url, llm = postgres.new_url(), LLM(free_port())
    llm.start()
    more = (f"database={url}", "keys_in_database=true", "gateway.replicas=[2,2]")
    service = start(tmp_path, write_run(tmp_path), llm, *more)

    def statuses(key: str) -> set[int]:
        headers = {"Authorization": f"Bearer {key}"}
        return {httpx.get(f"{service.url}/v1/users", headers=headers).status_code for _ in range(BOTH)}

    try:
        until(lambda: service.ready() or service.process.poll() is not None, 3 * WAIT_S)
        assert service.process.poll() is None, service.log.read_text()
        assert "no API keys in the database: all requests are refused until `hydra-ray keys add`" in (
            service.log.read_text()
        )
        assert statuses("hr-anything-0123456789") == {401}
        capfd.readouterr()
        assert main(["keys", "add", "default", "ci", "--database", url]) == 0
        key = capfd.readouterr().out.strip()
        until(lambda: statuses(key) == {200}, WAIT_S)
        found = httpx.get(f"{service.url}/v1/users", headers={"Authorization": f"Bearer {key}"}).json()["data"]
        assert {user["user_id"] for user in found} == set(USERS)
        assert main(["keys", "revoke", "default", "ci", "--database", url]) == 0
        until(lambda: statuses(key) == {401}, WAIT_S)
        assert all(key not in text for _, text in service.logs())
    finally:
        service.stop()
        llm.kill()
