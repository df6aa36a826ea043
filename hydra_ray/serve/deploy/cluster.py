"""The dashboard of a cluster, as `hydra-ray deploy` speaks to it."""

from collections.abc import Mapping
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.utils import ray_token
from hydra_ray.utils.ray_errors import root_cause_line

ADDRESS = "http://127.0.0.1:8265"


class Cluster:
    """Ray's client for a cluster's dashboard; whatever it raises is a UserError that names the address."""

    def __init__(self, address: str) -> None:
        from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

        self.address = address
        if not address.startswith(("http://", "https://")):
            raise UserError(f"--address {address}: give the dashboard's address, for example {ADDRESS}")
        self._client = self._ask("no Ray cluster answers there", lambda: ServeSubmissionClient(address))

    def details(self) -> dict[str, Any]:
        """Everything that Serve says of itself; empty where it does not run."""
        return dict(self._ask("the cluster does not say what it serves", self._client.get_serve_details))

    def submit(self, config: Mapping[str, Any]) -> None:
        """Makes the cluster serve what the file says."""
        self._ask("the cluster refused the file", lambda: self._client.deploy_applications(dict(config)))

    def _ask(self, failure: str, call: Any) -> Any:
        from ray.exceptions import AuthenticationError

        try:
            return call()
        except AuthenticationError as error:
            first = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f"--address {self.address}: {first}; {ray_token.ADVICE}") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"--address {self.address}: {failure} ({root_cause_line(str(error))})") from None
