import json
import uuid

import lance
import pyarrow as pa
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import FORMAT, HeadSpec
from tests.store.made_up import SPEC


def test_metadata_round_trip() -> None:
    assert HeadSpec.from_metadata(SPEC.to_metadata(), "here") == SPEC
    assert (SPEC.size, SPEC.row_bytes) == (18, 72)


def test_written_by_a_newer_version() -> None:
    uri = f"shared-memory://{uuid.uuid4()}/heads"
    described = {"format": FORMAT + 1, "anything": "new"}
    schema = pa.schema([("user_id", pa.string())], metadata={"hydra_ray.head_store": json.dumps(described)})
    lance.write_dataset(schema.empty_table(), uri)
    with pytest.raises(UserError, match=r"newer version of hydra_ray \(store format 2, this one reads up to 1\); upgr"):
        HeadStore.open(uri)


def test_some_other_dataset() -> None:
    uri = f"shared-memory://{uuid.uuid4()}/heads"
    lance.write_dataset(pa.table({"a": [1]}), uri)
    with pytest.raises(UserError, match="no head store"):
        HeadStore.open(uri)


@pytest.mark.parametrize("change", [{"dtype": "int8"}, {"shapes": {}}, {"buckets": 0}])
def test_what_cannot_be_stored(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match="head store"):
        HeadSpec(
            **{**{"kind": "shared", "width": 8, "rank": 0, "shapes": {"a": (2,)}, "base": "b", "buckets": 4}, **change}
        )
