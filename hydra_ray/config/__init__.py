"""The configuration: a typed, frozen schema by section. A file says only what differs from the defaults."""

from hydra_ray.config.data import DataConfig, ProtocolConfig, SynthConfig, TabularConfig
from hydra_ray.config.facets import FacetsConfig
from hydra_ray.config.finetune import FinetuneConfig
from hydra_ray.config.llm import LLMApplicationConfig, LLMConfig, ServeLLMConfig, ServeLoraConfig
from hydra_ray.config.loader import ValueOverride, dump_config, load_config, load_settings
from hydra_ray.config.lora import LoraConfig
from hydra_ray.config.resources import LLMResources, ResourcesConfig, WorkerResources
from hydra_ray.config.retrieval import AdapterConfig, ItemFeatures, RerankerConfig, RetrievalConfig
from hydra_ray.config.retriever_selection import RspgConfig
from hydra_ray.config.retriever_training import RopgConfig
from hydra_ray.config.run import Config, EvaluateConfig, RayConfig
from hydra_ray.config.section import Section, is_secret
from hydra_ray.config.training import FitConfig, ModelConfig, TrainConfig

__all__ = [
    "AdapterConfig",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "FacetsConfig",
    "FinetuneConfig",
    "FitConfig",
    "ItemFeatures",
    "LLMApplicationConfig",
    "LLMConfig",
    "LLMResources",
    "LoraConfig",
    "ModelConfig",
    "ProtocolConfig",
    "RayConfig",
    "RerankerConfig",
    "ResourcesConfig",
    "RetrievalConfig",
    "RopgConfig",
    "RspgConfig",
    "Section",
    "ServeLLMConfig",
    "ServeLoraConfig",
    "SynthConfig",
    "TabularConfig",
    "TrainConfig",
    "ValueOverride",
    "WorkerResources",
    "dump_config",
    "is_secret",
    "load_config",
    "load_settings",
]  # fmt: skip
