"""The smallest training of the bundled LLM."""

from hydra_ray.tiny_llm.config import ShapeConfig, StageConfig, TinyLLMConfig

SMALL = TinyLLMConfig(
    shape=ShapeConfig(layers=2, width=32, heads=2, feedforward=32, vocab=2000, window=512),
    steps=6,
    tokens=400,
    warmup=2,
    stages=(StageConfig(share=0.5, examples=(1, 2), hints=1.0), StageConfig(share=0.5, examples=(1, 2))),
    checkpoint_every=3,
    probe_every=1000,
)
