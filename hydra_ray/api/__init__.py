"""The public Python API. `hydra_ray` itself exports it, each name when it is first used."""
