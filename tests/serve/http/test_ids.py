"""Ids of requests."""

import pytest


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", '"}{'])
def test_an_id_that_is_not_well_formed_is_replaced(http, given):
    made = http.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"]
    assert made != given
    assert len(made) == 32
