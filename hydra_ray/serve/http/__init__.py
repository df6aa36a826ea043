"""The HTTP front: plain FastAPI on a `Service`. Knows nothing of Ray, models or stores.

    outer (request id, log, 500) -> paths -> access (API keys) -> bodies (limit) -> routes -> front -> Service

`app.make_app` puts it together; `door` stands in Serve's proxy before it all. Errors have OpenAI's shape
everywhere (`errors`).
"""
