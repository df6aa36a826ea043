import os
from pathlib import Path

from hydra_ray.serve.state.sqlite.deletion_file import FORGOTTEN, DeletionFile


def test_every_process_notices_a_deletion_once(tmp_path: Path) -> None:
    announcing, reading = DeletionFile(tmp_path), DeletionFile(tmp_path)
    assert not reading.new()
    announcing.announce()
    assert reading.new()
    assert not reading.new()
    os.utime(tmp_path / FORGOTTEN, ns=(1, 1))  # another one, whatever the clock's grain
    assert reading.new()
    assert not DeletionFile(tmp_path).new()
