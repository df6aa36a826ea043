"""The documents that the bundled LLM is trained on."""

from hydra_ray.tiny_llm.corpus import documents
from tests.tiny_llm.documents import CONFIG, STAGE


def test_documents_are_a_function_of_the_step() -> None:
    assert documents(CONFIG, STAGE, 5, 2000) == documents(CONFIG, STAGE, 5, 2000)
    assert documents(CONFIG, STAGE, 5, 2000) != documents(CONFIG, STAGE, 6, 2000)
