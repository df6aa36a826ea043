"""The black box: a client for any OpenAI-compatible chat server, its cache and budget, and vLLM behind Ray Serve.

Texts and token counts come out, nothing else: no logits, no weights. The pieces, from the bottom up:

    types       Request, Answer and the key that names a call
    identity    which model answered (a retrained model never meets its predecessor's answers)
    ledger      response cache, counts and hard budget in one SQLite file; ledger_actor shares it over a cluster,
                and ports are the two ways to reach it
    limits      rate limits, kept for all workers in the ledger; rates reads them from headers
    books       the client's side of the ledger: many small notes become few exchanges
    address     URL, proxy and certificates; access: key, headers and query
    dialect     which parameters the server takes, found out from what it refuses
    problems    what servers say where they do not answer; reading: what they say where they do
    endpoint    one HTTP attempt; retry says when another one follows
    caller      one call until it is answered or given up; jobs: what is to be called
    client      requests in, answers out, in order
    serving     vLLM behind Ray Serve LLM (the one module that knows vLLM)
    stage       the client inside a Ray Data pipeline that can be killed and resumed
"""

from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Completion, Request

__all__ = ["Completion", "LLMClient", "Request", "ResponseCache"]
