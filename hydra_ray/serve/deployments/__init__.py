"""What the replicas of the four deployments run. Each imports only its own module, and that only what it needs.

gateway         HTTP; in front of everything
history_server  histories and what is retrieved from them, by user bucket
scorer          encoder, reranker, adapter, heads; one batch holds pairs of many users and requests
fitter          single users' heads in the background; one replica

Gateway and history server run without PyTorch, Transformers and Lance; only for `retrieval.method: dense` does
a history server import an encoder.
"""
