"""`/metrics`: what Ray's agents on all nodes export of this service, as one Prometheus text."""

import asyncio

import aiohttp
import ray

OURS = ("ray_hydra_", "ray_serve_")
TIMEOUT_S = 3.0


async def scrape() -> str:
    """The metrics of the service and of Ray Serve, from every node. A node that does not answer is left out.

    Ray's agents take metrics over from the processes every few seconds, so figures are up to ten seconds old.
    """
    nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
    urls = [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes]
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        texts = await asyncio.gather(*(_fetch(session, url) for url in urls))
    return merge(texts)


async def _fetch(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(url) as response:
            return await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return ""


def merge(texts: list[str]) -> str:
    """Our families of several expositions as one: each family's HELP and TYPE once, its samples together."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for text in texts:
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                _, kind, name, *_ = line.split(" ", 3)
                if kind in {"HELP", "TYPE"}:
                    family = name
                    if name.startswith(OURS) and line not in heads.setdefault(name, []):
                        heads[name].append(line)
            elif line.startswith(OURS):
                samples.setdefault(family, []).append(line)
    return "".join("\n".join([*heads.get(name, []), *lines]) + "\n" for name, lines in samples.items())
