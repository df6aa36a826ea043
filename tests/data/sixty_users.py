"""A small data set: 40 training and 20 test users."""

from pathlib import Path

from tests.data.files import golds, item, lamp_root, question

IDS = [f"u{i}" for i in range(60)]


def make_root(root: Path) -> Path:
    train = [question(u, [item(f"{u}-{n}", f"text {n}") for n in range(3)], user_id=u) for u in IDS[:40]]
    dev = [question(u, [item(f"{u}-0")], user_id=u) for u in IDS[40:]]
    return lamp_root(root, train, golds(dict.fromkeys(IDS[:40], "5")), dev, golds(dict.fromkeys(IDS[40:], "4")))
