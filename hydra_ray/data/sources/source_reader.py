"""The reader of source files in any of the layouts: LaMP, OPPU, tables."""

from collections.abc import Iterator
from dataclasses import dataclass

from hydra_ray.config import TabularConfig
from hydra_ray.core.tasks import Task
from hydra_ray.data.formats.columns import Columns
from hydra_ray.data.rejects import Reject
from hydra_ray.data.rows import SourceRow
from hydra_ray.data.sources.find import Source
from hydra_ray.data.sources.lamp import scan_lamp
from hydra_ray.data.sources.oppu import scan_oppu
from hydra_ray.data.sources.tabular import scan_tabular


@dataclass(frozen=True, slots=True)
class SourceReader:
    """What reading needs besides the files. Small: it travels to every worker."""

    task: Task
    tabular: TabularConfig

    def scan(self, source: Source) -> Iterator[SourceRow | Reject | Columns]:
        """The records and rejects of one file, streamed; of tables also, last, the columns that they have.

        Raises UserError for a file that cannot be used at all.
        """
        if source.kind == "lamp":
            return scan_lamp(source, self.task)
        if source.kind == "oppu":
            return scan_oppu(source, self.task)
        return scan_tabular(source, self.task, self.tabular)
