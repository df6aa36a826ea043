"""`hydra-ray init-task`: looks at a user's rows and writes a task and a config to start from."""

from hydra_ray.init_task.command import init_task

__all__ = ["init_task"]
