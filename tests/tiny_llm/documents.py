"""What the documents of the tests are made of."""

from hydra_ray.tiny_llm.config import StageConfig, TinyLLMConfig

CONFIG = TinyLLMConfig()
STAGE = StageConfig(share=1, examples=(3, 3))
