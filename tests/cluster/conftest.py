import pytest

from tests.cluster.machines import reason_to_skip


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips what needs them where they cannot be made."""
    if reason := reason_to_skip():
        pytest.skip(reason)
