"""Keys of the tests of keys, and whose key a header holds."""

from hydra_ray.serve.http.keys import Keys

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"


def tenant(keys: Keys, authorization: str | None) -> str | None:
    """Whose key stands in the header."""
    found = keys.find(authorization)
    return found.tenant if found else None
