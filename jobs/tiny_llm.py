"""`ray job submit -- python jobs/tiny_llm.py ...`: `hydra-ray tiny-llm`."""

import sys

from hydra_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["tiny-llm", *sys.argv[1:]]))
