import pytest

from hydra_ray.config import AdapterConfig
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.training.artifacts.trained_scorer import fingerprint
from tests.pipeline.fitted_world import make_config, write_base
from tests.serve.state.made_run import USER_IDS, write_ingested, write_some_heads


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunArtifacts:
    """A bundle of kind `bayesian_linear`: heads of 5 users from the training, of 5 from the fit, one in both."""
    folder = tmp_path_factory.mktemp("run")
    config = make_config(folder, "bayesian_linear").model_copy(update={"adapter": AdapterConfig(features=False)})
    base = write_base(folder, config)
    write_ingested(folder / "ingest")
    found = fingerprint(base)
    trained = write_some_heads(folder / "trained", "linear", found, USER_IDS[:5], 1.0)
    fitted = write_some_heads(folder / "fitted", "bayesian_linear", found, USER_IDS[4:9], 2.0)
    return RunArtifacts("a-run", config, 0, {"reranker": base, "adapter": base},
                  {"reranker": (trained, fitted), "adapter": (fitted,)}, {}, folder / "ingest")  # fmt: skip
