"""Fields of a request to the plain model."""

import openai
import pytest

QUESTION = [{"role": "user", "content": "which tag?"}]


def test_a_wrong_field_for_the_plain_model_is_named_where_it_stands(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="made-up:plain", messages=[{"content": "x"}])
    assert raised.value.param == "messages[0].role"
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="made-up:plain", messages=QUESTION, extra_body={"tempreature": 1})
    assert (raised.value.param, raised.value.code) == ("tempreature", "unsupported_parameter")
