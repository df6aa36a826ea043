"""What a chat answer says, read by the real openai package."""

QUESTION = [{"role": "user", "content": "which tag?"}]


def test_an_answer_says_what_it_lacks(client):
    answer = client.chat.completions.create(model="made-up", messages=QUESTION, user="stranger")
    assert [degraded["reason"] for degraded in answer.hydra["degraded"]] == ["user_unknown"]


def test_an_answer_that_max_tokens_ended_says_so(client):
    asked = {"model": "made-up", "messages": QUESTION, "n": 2, "max_tokens": 1}
    answer = client.chat.completions.create(**asked)
    assert [choice.finish_reason for choice in answer.choices] == ["length", "stop"]
    chunks = client.chat.completions.create(**asked, stream=True)
    ended = [choice for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert [(choice.index, choice.finish_reason) for choice in ended] == [(0, "length"), (1, "stop")]


def test_streaming_gives_the_same_answers(client):
    chunks = list(
        client.chat.completions.create(
            model="made-up", messages=QUESTION, n=2, stream=True, stream_options={"include_usage": True}
        )
    )
    texts: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == {0: "nobody: which tag? /0", 1: "nobody: which tag? /1"}
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices].count("stop") == 2
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage.total_tokens == 11
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 6
