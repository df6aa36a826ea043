"""What came out of a run: report.json, report.md, report.html and predictions. Pure but for `write_report`."""

from hydra_ray.report.build import Costs, build_report
from hydra_ray.report.rows import AnswerRow
from hydra_ray.report.tables import result_table
from hydra_ray.report.write import write_predictions, write_report

__all__ = ["AnswerRow", "Costs", "build_report", "result_table", "write_predictions", "write_report"]
