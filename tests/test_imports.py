"""`import hydra_ray` costs next to nothing, and every public name is there once it is asked for."""

import subprocess
import sys

import pytest

import hydra_ray

MEASURE = """
import sys, time
before = set(sys.modules)
began = time.process_time()
import hydra_ray
seconds = time.process_time() - began
ours = sorted(set(sys.modules) - before)
print(seconds, *ours)
"""


def loaded_by(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_loads_nothing_else() -> None:
    seconds, *modules = loaded_by(MEASURE)
    assert float(seconds) < 0.3
    assert [name for name in modules if name.startswith("hydra_ray")] == ["hydra_ray", "hydra_ray.version"]
    assert not {name.split(".")[0] for name in modules} & {
        "ray",
        "torch",
        "pandas",
        "numpy",
        "pydantic",
        "transformers",
    }


def test_making_and_asking_a_pipeline_needs_no_ray() -> None:
    names = loaded_by(
        "import sys\nfrom hydra_ray.api import loaded_run, pipeline, folder, local_llm\nprint(*sys.modules)"
    )
    assert "ray" not in {name.split(".")[0] for name in names}


@pytest.mark.parametrize("name", hydra_ray.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(hydra_ray, name) is not None
    assert name in dir(hydra_ray)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'personalise'"):
        hydra_ray.personalise  # noqa: B018
