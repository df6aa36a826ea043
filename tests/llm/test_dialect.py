from hydra_ray.config import LLMConfig
from hydra_ray.llm.dialect import LEAST_TEMPERATURE, Dialect, dialect_of
from hydra_ray.llm.http_errors import Problem
from hydra_ray.llm.types import Request

CFG = LLMConfig(model="m", top_p=0.9)
REQUEST = Request(({"role": "user", "content": "a"},), temperature=1.0, n=8, max_tokens=4, seed=10)


def test_what_is_sent():
    assert Dialect().parameters(CFG, REQUEST, 3, 2) == {
        "max_tokens": 4, "temperature": 1.0, "top_p": 0.9, "n": 2, "seed": 13,
    }  # fmt: skip
    assert Dialect().parameters(LLMConfig(), REQUEST, 0, 1) == {"max_tokens": 4, "temperature": 1.0, "seed": 10}


def test_what_the_config_says_is_renamed_and_left_out():
    cfg = LLMConfig(model="m", parameters={"max_tokens": "max_output_tokens", "seed": None})
    assert dialect_of(cfg, "u").parameters(cfg, REQUEST, 0, 1) == {"max_output_tokens": 4, "temperature": 1.0}


def refused(name, code="unsupported_parameter", words="not supported"):
    return Problem(f"{name} {words}", code=code, param=name)


def test_refused_parameters_are_renamed_or_left_out_from_then_on():
    dialect = Dialect()
    for name in ("max_tokens", "temperature", "top_p", "seed"):
        assert dialect.learn(refused(name), dialect.parameters(CFG, REQUEST, 0, 8))
    assert dialect.parameters(CFG, REQUEST, 0, 8) == {"max_completion_tokens": 4, "n": 8}
    assert not dialect.one_by_one
    assert dialect.learn(refused("n"), {"n": 8})
    assert dialect.one_by_one
    assert dialect.parameters(CFG, REQUEST, 0, 8) == {"max_completion_tokens": 4}


def test_the_limit_of_tokens_is_never_left_out():
    dialect = Dialect(names={"max_tokens": "max_completion_tokens"})
    sent = dialect.parameters(CFG, REQUEST, 0, 1)
    assert not dialect.learn(refused("max_completion_tokens"), sent)
    assert dialect.learn(refused("max_completion_tokens", words="unknown; use max_tokens"), sent)
    assert dialect.parameters(CFG, REQUEST, 0, 1)["max_tokens"] == 4


def test_a_temperature_of_0_that_is_refused_is_sent_as_nearly_0():
    greedy = Request(REQUEST.messages, 0.0, 1, 4)
    dialect = Dialect()
    problem = Problem("`temperature` must be strictly positive")
    assert dialect.learn(problem, dialect.parameters(CFG, greedy, 0, 1))
    assert dialect.parameters(CFG, greedy, 0, 1)["temperature"] == LEAST_TEMPERATURE
    assert dialect.parameters(CFG, REQUEST, 0, 1)["temperature"] == 1.0
    assert not dialect.learn(problem, dialect.parameters(CFG, greedy, 0, 1))


def test_what_names_no_parameter_teaches_nothing():
    dialect = Dialect()
    assert not dialect.learn(Problem("bad request"), dialect.parameters(CFG, REQUEST, 0, 8))
    assert dialect == Dialect()


def test_one_process_learns_once_for_a_server_and_model():
    assert dialect_of(CFG, "u") is dialect_of(CFG.model_copy(update={"concurrency": 3}), "u")
    assert dialect_of(CFG, "u") is not dialect_of(CFG, "v")
    assert dialect_of(CFG, "u") is not dialect_of(CFG.model_copy(update={"model": "x"}), "u")
