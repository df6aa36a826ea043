"""The replica of a model that is served directly: a Ray Serve deployment that keeps a vLLM server running."""

import asyncio
from collections.abc import Sequence

from hydra_ray.llm.vllm_process import VllmProcess
from hydra_ray.utils.cpu import usable_cores
from hydra_ray.utils.network import check_free

POLL_S = 0.2
HEALTH_S = 30.0
"""Longest wait for vLLM's word that its engine works; Serve itself waits twice as long."""


class VllmReplica:
    """Ready once vLLM answers. A port in use is reported at once, before any model is loaded."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, arguments: Sequence[str], host: str, port: int, cluster: bool, threads: int | None = None
    ) -> None:
        """Starts vLLM and waits until it answers.

        Args:
            arguments: of vLLM's server, without its address.
            host: interface that it listens on.
            port: likewise.
            cluster: whether callers are on other machines too: then loopback is the node's address instead.
            threads: of the model; None: one for each core that this process may use.

        Raises:
            UserError: the port is in use.
            RuntimeError: vLLM has ended, with the line that names the cause.
        """
        import ray

        from hydra_ray.utils.network import stay_on_node

        stay_on_node()
        self._host = ray.util.get_node_ip_address() if cluster and host == "127.0.0.1" else host
        self._port = port
        check_free(self._host, port, "llm.serve.port")
        address = ["--host", self._host, "--port", str(port)]
        url = f"http://{_reachable(self._host)}:{port}"
        self._vllm = VllmProcess([*arguments, *address], url, threads or usable_cores())
        while not await asyncio.to_thread(self._vllm.answers):
            self._vllm.check()
            await asyncio.sleep(POLL_S)

    def address(self) -> tuple[str, int]:
        """Host and port that vLLM answers on."""
        return self._host, self._port

    async def check_health(self) -> None:
        """Asked by Serve: raises if vLLM has ended or its engine does not work, and the replica is restarted."""
        self._vllm.check()
        if not await asyncio.to_thread(self._vllm.answers, HEALTH_S):
            self._vllm.check()
            raise RuntimeError("vLLM does not answer")

    def __del__(self) -> None:
        """Called by Serve when the replica is to go."""
        if hasattr(self, "_vllm"):
            self._vllm.stop()


def _reachable(host: str) -> str:
    """As a URL's host; for an address that means every interface, this machine's own."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host
