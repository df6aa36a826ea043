"""Draws the result chart of a finished run as one SVG file: `python -m docs.images.chart RUN OUT.svg`."""

import json
import sys
from pathlib import Path

from hydra_ray.report.charts import methods_chart
from hydra_ray.report.standalone import standalone

if __name__ == "__main__":
    run, out = (Path(argument) for argument in sys.argv[1:3])
    out.write_text(standalone(methods_chart(json.loads((run / "report.json").read_text()))), encoding="utf-8")
