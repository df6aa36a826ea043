"""The models that are served, by name."""

import openai
import pytest

QUESTION = [{"role": "user", "content": "which tag?"}]


def test_models(client):
    assert [model.id for model in client.models.list()] == ["made-up", "made-up:plain"]
    model = client.models.retrieve("made-up")
    labels = ["ember", "dune"]
    assert model.hydra == {"run": "made-up", "task": "synthetic_tagging", "labels": labels, "plain": False}
    assert model.created == 1_700_000_000
    assert client.models.retrieve("made-up:plain").hydra["plain"] is True
    assert client.models.retrieve("made-up@ann").id == "made-up@ann"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("gpt")
    assert raised.value.code == "model_not_found"


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError, match="use 'made-up'") as raised:
        client.chat.completions.create(model="gpt", messages=QUESTION)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
