"""People of the synthetic world."""

from hydra_ray.synth.world import SynthUser, make_user


def people(task: str, count: int, items: tuple[int, int] = (10, 10), seed: int = 5) -> list[SynthUser]:
    return [make_user(task, seed, index, items, 2) for index in range(count)]
