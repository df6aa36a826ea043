import pytest

from hydra_ray.tiny_llm.corpus import documents
from hydra_ray.tiny_llm.tokenizer import train_tokenizer
from tests.tiny_llm.documents import CONFIG, STAGE


@pytest.fixture(scope="module")
def tokenizer() -> object:
    texts = (d.prompt + d.answer for step in range(60) for d in documents(CONFIG, STAGE, step, 4096))
    return train_tokenizer(texts, 4096, 2048, whole_words=True)
