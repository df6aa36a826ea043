"""What Ray Serve's HTTP proxy puts around every request, and how it listens; it finds this by
`environment.PROXY_LAYERS`."""

from starlette.middleware import Middleware

from hydra_ray import env
from hydra_ray.serve.http.middleware.local_routes import LocalRoutesMiddleware
from hydra_ray.serve.http.middleware.rejection_replay import RejectionReplayMiddleware
from hydra_ray.serve.http.wire import guard_uvicorn
from hydra_ray.serve.observability.metrics import Meters


def layers() -> list[Middleware]:
    """ASGI middlewares, the innermost first. Serve asks for them before it starts the proxy's HTTP server."""
    guard_uvicorn()
    routes = env.local_routes()
    return [
        Middleware(RejectionReplayMiddleware, meters=Meters("Proxy")),
        Middleware(LocalRoutesMiddleware, prefixes=routes),
    ]
