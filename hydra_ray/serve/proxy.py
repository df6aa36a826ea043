"""What Ray Serve's HTTP proxy puts around every request; it finds this by `environment.PROXY_LAYERS`."""

from starlette.middleware import Middleware

from hydra_ray.serve.http.door import Door
from hydra_ray.serve.meters import Meters


def layers() -> list[Middleware]:
    """ASGI middlewares, the innermost first."""
    return [Middleware(Door, meters=Meters("Proxy"))]
