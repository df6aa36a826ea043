"""The Serve deployment around vLLM's server, with a small server in vLLM's place."""

import asyncio
from pathlib import Path

import psutil
import pytest

from hydra_ray.errors import UserError
from hydra_ray.llm import vllm_replica
from hydra_ray.llm.vllm_replica import VllmReplica
from hydra_ray.utils.network import free_port


def test_the_replica_is_ready_once_it_answers_and_says_when_it_has_ended(
    stands_for_vllm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_ray.utils.network.stay_on_node", lambda: None)
    monkeypatch.setattr(vllm_replica, "POLL_S", 0.01)
    port = free_port()

    async def course() -> None:
        replica = VllmReplica.__new__(VllmReplica)
        await replica.__init__([], "127.0.0.1", port, False)  # type: ignore[misc]
        assert replica.address() == ("127.0.0.1", port)
        await replica.check_health()
        with pytest.raises(UserError, match=r"llm\.serve\.port: 127.0.0.1:\d+: Address already in use"):
            await VllmReplica.__new__(VllmReplica).__init__([], "127.0.0.1", port, False)  # type: ignore[misc]
        server = psutil.Process(replica._vllm.pid)
        family = [server, *server.children()]
        server.kill()
        server.wait(30)
        with pytest.raises(RuntimeError, match="vLLM has ended"):
            await replica.check_health()
        assert not psutil.wait_procs(family, 30)[1]

    asyncio.run(course())
