"""Requests go through Arrow and Parquet, and come back as they were."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.llm.request_columns import REQUESTS_TYPE, requests_from_structs, requests_to_structs
from hydra_ray.llm.types import Request, call_key

SHORTER = (({"role": "user", "content": "n"},), ({"role": "user", "content": ""},))
FULL = Request(({"role": "system", "content": "s"}, {"role": "user", "content": 'né\u2028 "x"'}), 0.7, 8, 4, 2**31 - 1,
               SHORTER, "train-oppu-0a1b/u1@3")  # fmt: skip
PLAIN = Request(({"role": "user", "content": "a"},))


def through_parquet(rows: list[list[Request]], folder: Path) -> list[list[Request]]:
    column = pa.array([requests_to_structs(row) for row in rows], REQUESTS_TYPE)
    pq.write_table(pa.table({"requests": column}), folder / "part.parquet")
    read = pq.read_table(folder / "part.parquet")["requests"]
    assert read.type == REQUESTS_TYPE
    return [requests_from_structs(structs) for structs in read.to_pylist()]


def test_requests_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [[FULL, PLAIN], [], [PLAIN]]
    assert through_parquet(rows, tmp_path) == rows


def test_half_a_character_travels_as_a_replacement_under_the_same_key(tmp_path: Path) -> None:
    half = Request(({"role": "user", "content": "a \ud83d"},), fallbacks=(({"role": "user", "content": "\ude00"},),))
    (found,) = through_parquet([[half]], tmp_path)[0]
    assert (found.messages[0]["content"], found.fallbacks[0][0]["content"]) == ("a \ufffd", "\ufffd")
    assert call_key("m@h", found) == call_key("m@h", half)
