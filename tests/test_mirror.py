"""A module's tests are where a reader looks for them: those of `hydra_ray/a/b.py` in `tests/a/test_b.py`."""

from pathlib import Path

import hydra_ray

TESTS = Path(__file__).parent
PACKAGE = Path(hydra_ray.__file__).parent
OTHER_FOLDERS = {"cluster", "docs", "gpu"}
"""Of the repository, and of tests that need a device."""
WHOLE = {"test_imports.py", "test_layering.py", "test_mirror.py", "test_own_ray.py", "test_package_data.py"}
"""What holds for the package, or the tests, as a whole."""


def mirrored(test: Path) -> bool:
    """Whether there is a module, a folder or a data file of the test's name, or of the beginning of it."""
    words = test.stem.removeprefix("test_").split("_")
    folder = PACKAGE / test.relative_to(TESTS).parent
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return any(True for name in names for _ in folder.glob(f"{name}.*")) or (folder / words[0]).is_dir()


def test_every_file_of_tests_is_of_a_module() -> None:
    files = [file for file in TESTS.rglob("test_*.py") if file.relative_to(TESTS).parts[0] not in OTHER_FOLDERS | WHOLE]
    assert len(files) > 300
    assert not [str(file.relative_to(TESTS)) for file in files if not mirrored(file)]
