"""A SLURM cluster on machines of their own: slurmctld at the desk, where the user sits, and slurmd on the others."""

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.machines import Machine, Network
from tests.cluster.ray_nodes import BIN, DESK

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CPUS = 2
"""Of every node: SLURM refuses nodes that say they have more than they do."""
LOST_S = 15
"""After how long a silent node is taken for dead; five minutes on other clusters."""
WAIT_S = 120
_DAEMONS = ("/usr/sbin", "/usr/local/sbin")
_CONFIGURATION = """
ClusterName=namespaces
SlurmctldHost={desk.name}({desk.address})
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={own}/munge.socket
StateSaveLocation={own}/state
SlurmdSpoolDir={own}/spool
SlurmctldPidFile={own}/slurmctld.pid
SlurmdPidFile={own}/slurmd.pid
SlurmctldLogFile={own}/slurmctld.log
SlurmdLogFile={own}/slurmd.log
SlurmdTimeout={lost_s}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE
"""


def reason_to_skip() -> str:
    """Why SLURM cannot be started here; "" where it can."""
    missing = [name for name in PROGRAMS if not _found(name)]
    if missing:
        return f"{', '.join(missing)}: not installed (Debian: slurm-wlm, munge)"
    if (os.cpu_count() or 1) < CPUS:
        return f"nodes of {CPUS} CPUs want a machine with as many"
    return ""


def _found(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *_DAEMONS]))


class SlurmNodes(contextlib.AbstractContextManager["SlurmNodes"]):
    """Desk and nodes, on which SLURM runs. A context manager: leaving it kills whatever runs on the machines.

    names: of the nodes; SLURM takes them in alphabetical order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        # Short: Ray's sockets lie below, and a path of a socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="hs"))
        self.network = Network(self.folder)
        with contextlib.ExitStack() as kept:
            kept.push(self.__exit__)
            self.desk = self.network.add(DESK)
            nodes = [self.network.add(name) for name in names]
            lines = "\n".join(f"NodeName={each.name} NodeAddr={each.address} CPUs={CPUS}" for each in nodes)
            text = _CONFIGURATION.format(desk=self.desk, own=self.network.own, nodes=lines, lost_s=LOST_S)
            self.configuration = self.folder / "slurm.conf"
            self.configuration.write_text(text)
            self._key = secrets.token_bytes(128)
            self._start_daemons(self.desk, "slurmctld")
            for each in nodes:
                self._start_daemons(each, "slurmd")
            self.until(lambda: self.idle() == len(names), "idle nodes")
            kept.pop_all()

    def __exit__(self, *error: object) -> None:
        self.network.__exit__(*error)
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, **more: str) -> dict[str, str]:
        """As in an activated environment, of a user of this SLURM."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAY_", "HYDRA_RAY_", "SLURM_", "SBATCH_"))
        }
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        set_here = {
            "PATH": path,
            "SLURM_CONF": str(self.configuration),
            "RAY_TMPDIR": str(self.network.own),  # /tmp is one for all machines here
            "RAY_memory_monitor_refresh_ms": "0",  # every node would see the memory of the one machine that there is
            "RAY_worker_niceness": "0",  # by default workers come last on a machine that does other things, too
        }
        return {**kept, **set_here, **more}

    def _start_daemons(self, machine: Machine, slurm: str) -> None:
        """Starts munged and one of SLURM's daemons there."""
        key, spool = machine.folder / "munge.key", machine.folder / "spool"
        spool.mkdir(exist_ok=True)
        (machine.folder / "state").mkdir(exist_ok=True)
        key.touch(0o600)
        key.write_bytes(self._key)
        own = self.network.own
        files = [f"--{kind}-file={own}/munged.{kind}" for kind in ("log", "pid", "seed")]
        # --force: the folder is not the one that the package has made for it.
        machine.run([str(_found("munged")), "--force", f"--key-file={own}/munge.key",
                     f"--socket={own}/munge.socket", *files])  # fmt: skip
        machine.run([str(_found(slurm)), "-f", str(self.configuration)], self.environment())

    def command(self, *command: str) -> str:
        """What a command of SLURM prints at the desk."""
        return self.desk.run(command, self.environment())

    def idle(self) -> int:
        """How many nodes have nothing to do."""
        with contextlib.suppress(RuntimeError):  # slurmctld is just starting
            return self.command("sinfo", "--noheader", "--Node", "--format=%t").split().count("idle")
        return 0

    def until(self, happened: Callable[[], Any], what: str, seconds: float = WAIT_S) -> Any:
        """What `happened` returns once it is something."""
        end = time.monotonic() + seconds
        while not (found := happened()):
            assert time.monotonic() < end, f"no {what}:\n{self.logs()}"
            time.sleep(0.2)
        return found

    def logs(self) -> str:
        """The end of what SLURM's daemons have written."""
        texts = {file: file.read_text(errors="replace")[-2000:] for file in self.folder.glob("*/slurm*.log")}
        return "\n".join(f"{file}:\n{text}" for file, text in sorted(texts.items()))

    def submit(self, folder: Path, *arguments: str, options: Sequence[str] = (), **more: str) -> str:
        """Submits slurm.sh from a folder that stands for the repository's root; returns the job's number.

        options: of sbatch. more: of the user's environment.
        """
        script = folder / "cluster"
        if not script.exists():
            script.symlink_to(ROOT / "cluster")
        command = ["env", f"--chdir={folder}", "sbatch", "--parsable", *options, "cluster/slurm.sh", *arguments]
        return self.desk.run(command, self.environment(**more)).strip()

    def shown(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says of a job: name -> value."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.command("scontrol", "show", "job", job)))

    def ended(self, job: str, seconds: float) -> tuple[str, str]:
        """Waits for the end; returns SLURM's state and exit code, such as ("COMPLETED", "0:0")."""
        alive = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}
        shown = self.until(lambda: (it := self.shown(job))["JobState"] not in alive and it, f"end of {job}", seconds)
        return shown["JobState"], shown["ExitCode"]

    def left(self, job: str) -> list[str]:
        """Nodes that are not lost and still have the folder of a job's Ray."""
        machines = self.network.machines.values()
        return [each.name for each in machines if each.alive and (each.folder / f"ray-{job}").exists()]
