"""`ray job submit -- python jobs/synth.py ...`: `hydra-ray synth`."""

import sys

from hydra_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["synth", *sys.argv[1:]]))
