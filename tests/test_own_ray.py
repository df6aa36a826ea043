"""Every test starts a Ray of its own: one that is asked for no address joins whatever runs on the machine."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
CALL = re.compile(r"\bray\.init\(\s*(?!\s|address=)")
"""A call whose first argument is not the address; in scripts that a test writes as well."""


def test_every_call_names_its_address() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{text[: call.start()].count(chr(10)) + 1}"
        for path in sorted({*TESTS.rglob("*.py")} - {Path(__file__)})
        for text in [path.read_text()]
        for call in CALL.finditer(text)
    ]
    assert found == []
    assert CALL.search("ray.init(\n    num_cpus=2,\n)")
    assert not CALL.search("ray.init(\n    address='local',\n)")
