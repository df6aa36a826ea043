"""Who may read a key file: its owner; and the group of one that Kubernetes mounts, which is root's."""

import os
import stat

import pytest

from hydra_ray.serve.http.key_file import _shared


@pytest.mark.parametrize(
    ("mode", "owner", "me", "shared"),
    [
        (0o600, 1000, 1000, False),
        (0o640, 1000, 1000, True),
        (0o604, 1000, 1000, True),
        (0o440, 0, 1000, False),
        (0o460, 0, 1000, True),
        (0o444, 0, 1000, True),
        (0o440, 0, 0, True),
        (0o440, 7, 1000, True),
    ],
)
def test_shared(mode: int, owner: int, me: int, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: me)
    about = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    assert _shared(about) == shared
