"""Ports that are in use."""

import socket

import pytest

from hydra_ray.errors import UserError
from hydra_ray.utils.network import check_free


def test_a_port_in_use_is_named_with_its_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"llm\.serve\.port: 127\.0\.0\.1:{port}"):
            check_free("127.0.0.1", port, "llm.serve.port")


def test_a_number_that_is_no_port() -> None:
    with pytest.raises(UserError, match="--port"):
        check_free("127.0.0.1", 70_000, "--port")
