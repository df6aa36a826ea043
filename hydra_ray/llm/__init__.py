"""The black box: a client for any OpenAI-compatible chat server, its cache and budget, and vLLM on Ray Serve.

Texts and token counts come out, nothing else: no logits, no weights. The pieces, from the bottom up:

    types             Request, Completion and the key that names a call
    model_id          which model answered (a retrained model never meets its predecessor's answers)
    response_cache    answers, counts and hard budget in one SQLite file; response_cache_actor shares it over a cluster,
                      response_cache_ports are the two ways to reach it, ledger_batcher makes few exchanges of many
                      notes
    rate_limits       kept for all workers in the cache's file; rate_headers reads them from a server's headers
    address, access   URL, proxy and certificates; key, headers and query
    dialect           which parameters the server takes, found out from what it refuses
    response_parsing  what servers say where they answer; http_errors: where they do not
    endpoint          what the client asks: http, one HTTP attempt (retry says when another one follows), or seq2seq, an
                      encoder-decoder in the process that asks
    caller            one call until it is answered or given up; calls: what is to be called
    client            requests in, completions out, in order
    vllm_app          vLLM on Ray Serve; vllm_replica, vllm_process: on CPU, as a child process of a replica
    mapper            the client inside a Ray Data pipeline that can be killed and resumed
"""

from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Completion, Request

__all__ = ["Completion", "LLMClient", "Request", "ResponseCache"]
