"""Calls of `hydra-ray serve` that must be refused."""

from collections.abc import Callable

Refused = Callable[..., str]
