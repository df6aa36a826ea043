"""The served LLM of a run whose methods train its weights: with adapters, or other weights for some answers."""

from pathlib import Path

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import weights_source
from hydra_ray.methods.lora import untrainable
from hydra_ray.methods.method import method_named


def serve_adapters(config: Config, root: Path) -> Config:
    """The configuration, with the LLM served so that requests may name adapters anywhere under the root, if a method
    of the run asks for some.

    Args:
        config: Of the run.
        root: Of the run, absolute; steps write adapters there.

    Raises:
        UserError: The LLM is not served by the run, so that its weights cannot be added to, or its folder holds no
            LM that its engine can answer with, which is checked before anything is paid for.
    """
    if config.llm.in_process:
        _check_in_process(config)
    methods = {name: method_named(name) for name in config.evaluate.methods}
    trains = [name for name, method in methods.items() if method.serves_lora or method.serves_weights]
    if not trains:
        return config
    if config.llm.base_url is not None:
        raise UserError(f"evaluate.methods: {trains[0]} trains weights of the LLM, which the run itself must serve: "
                        f"leave out llm.base_url={config.llm.base_url}, or the method")  # fmt: skip
    if config.llm.in_process:
        return config
    adapters = any(method.serves_lora for method in methods.values())
    if why := untrainable(config, adapters=adapters):
        raise UserError(f"evaluate.methods: {trains[0]} cannot run: {why}")
    if not adapters:
        return config
    lora = config.llm.serve.lora
    lora = lora.model_copy(update={"folder": str(root), "max_rank": max(lora.max_rank, 2 * config.lora.rank)})
    serve = config.llm.serve.model_copy(update={"lora": lora})
    return config.model_copy(update={"llm": config.llm.model_copy(update={"serve": serve})})


def _check_in_process(config: Config) -> None:
    """Raises UserError for what a run cannot have whose workers hold the LLM, or an LLM that is no encoder-decoder."""
    lora = [name for name in config.evaluate.methods if method_named(name).serves_lora]
    if lora:
        raise UserError(f"evaluate.methods: {lora[0]} trains LoRA adapters of a decoder LM: set llm.serve.engine=vllm "
                        "with such an LLM, or leave out the method")  # fmt: skip
    if config.resources.ask.num_gpus > 1:
        raise UserError(f"resources.ask.num_gpus={config.resources.ask.num_gpus:g}: with llm.serve.engine=transformers "
                        "a worker holds the LLM on one GPU: give 1, or a share of one")  # fmt: skip
    from hydra_ray.models.seq2seq import check_seq2seq

    source = Path(weights_source(config.llm.serve.source))
    if source.is_dir():  # a model on a hub is looked at when it is downloaded
        check_seq2seq(source)


def with_weights(config: Config, weights: Path) -> Config:
    """The configuration, with other weights of the same LLM served, without adapters. weights: their folder."""
    lora = config.llm.serve.lora.model_copy(update={"folder": None})
    serve = config.llm.serve.model_copy(update={"source": str(weights), "lora": lora})
    return config.model_copy(update={"llm": config.llm.model_copy(update={"serve": serve})})
