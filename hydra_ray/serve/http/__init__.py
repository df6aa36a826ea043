"""The HTTP front: plain FastAPI on a `Service`. Knows nothing of Ray, models or stores.

    middleware (request id and log, raw paths, API keys, body size) -> routes -> route_context -> Service

`app.make_app` puts it together; `middleware.rejection_replay` stands in Serve's proxy before it all. Errors have
OpenAI's shape everywhere (`errors`).
"""
