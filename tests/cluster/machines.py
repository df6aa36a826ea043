"""Machines of their own on this one: Linux namespaces for network, processes, host name and shared memory.

All hang on one bridge, which lies in a namespace as well: what they send stays among them. Whatever runs on a machine
ends with it, and all of them end with this process, however it ends.
"""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

NETWORK = "10.99.0"
GATEWAY = f"{NETWORK}.1"
_NAMESPACES = ["--net", "--mount", "--uts", "--pid"]
_UNSHARE = ["setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
# The first process of a machine reaps what its daemons leave behind, as an init does.
_INIT = """
mount -t tmpfs shm /dev/shm &&
hostname "$1" && mount --bind "$2/hosts" /etc/hosts && mount --bind "$2" "$3" &&
ip link set lo up && echo up && while :; do sleep 1000 & wait $!; done
"""
_CLONE_NEWNET = 0x40000000

Result = TypeVar("Result")


@functools.cache
def reason_to_skip() -> str:
    """Why no machines can be made here; "" where they can."""
    try:
        with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
            network.add("any")
    except FileNotFoundError as error:
        return f"{error.filename} is not installed (Debian: util-linux, iproute2)"
    except RuntimeError as error:
        return f"namespaces are not permitted here (they need root, with CAP_SYS_ADMIN and CAP_NET_ADMIN): {error}"
    return ""


class Machine:
    """One of them. Until a `Network` has taken it in, it has no network but its own loopback.

    folder: holds its files; the machine itself finds them in `own`, as every other finds its own ones there.
    """

    def __init__(self, name: str, address: str, folder: Path, own: Path) -> None:
        self.name, self.address, self.folder = name, address, folder
        for each in (folder, own):
            each.mkdir(parents=True, exist_ok=True)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        script = ["bash", "-c", _INIT, "-", name, str(folder), str(own)]
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen([*_UNSHARE, *script], stdout=pipe, stderr=subprocess.STDOUT, text=True)
        said = self._holder.stdout.readline()  # type: ignore[union-attr]
        if said != "up\n":
            self._holder.kill()
            self._holder.wait()
            raise RuntimeError(said.strip())
        self.init = psutil.Process(self._holder.pid).children()[0].pid

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs another one on this machine."""
        return ["nsenter", "--target", str(self.init), *_NAMESPACES, "--", *command]

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None, timeout_s: float = 60) -> str:
        """Runs a command to its end; returns its output. Raises RuntimeError, whose text holds it, if it fails."""
        done = subprocess.run(
            self.command(command), env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: exit code {done.returncode}: {done.stdout[-3000:]}")
        return done.stdout

    def popen(self, command: Sequence[str], env: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        """Starts a command. Killing what is returned leaves the command alone: it ends with the machine."""
        return subprocess.Popen(self.command(command), env=env, text=True, **more)

    def titles(self) -> list[str]:
        """The command lines of what runs here."""
        found = []
        for file in Path("/proc", str(self.init), "root", "proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has just ended
                found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        return found

    def inside(self, work: Callable[[], Result]) -> Result:
        """What `work` returns, called in a thread whose sockets are this machine's, and stay so."""
        outcome: list[Result] = []
        raised: list[BaseException] = []

        def there() -> None:
            try:
                with open(f"/proc/{self.init}/ns/net") as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                outcome.append(work())
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        if raised:
            raise raised[0]
        return outcome[0]

    @property
    def alive(self) -> bool:
        """Whether it was not killed."""
        return self._holder.returncode is None

    def kill(self) -> None:
        """Ends everything that runs here at once; waits until it has."""
        if self.alive:
            os.kill(self.init, signal.SIGKILL)
            self._holder.wait()
            self._holder.stdout.close()  # type: ignore[union-attr]


class Network(contextlib.AbstractContextManager["Network"]):
    """The bridge, and the machines on it by name. A context manager: leaving it kills all of them.

    folder: theirs, each in a sub-folder of its own; short, as sockets lie there.
    own: where every machine finds its own.
    """

    def __init__(self, folder: Path) -> None:
        self.machines: dict[str, Machine] = {}
        self._folder, self.own = folder, folder / "own"
        self._ports: dict[str, str] = {}
        self._bridge = Machine("bridge", GATEWAY, folder / "bridge", self.own)
        with self._or_none():
            self._ip(self._bridge, "link add name bridge type bridge")
            self._ip(self._bridge, f"address add {GATEWAY}/24 dev bridge")
            self._ip(self._bridge, "link set bridge up")

    def __exit__(self, *_: object) -> None:
        for machine in [*self.machines.values(), self._bridge]:
            machine.kill()

    @contextlib.contextmanager
    def _or_none(self) -> Iterator[None]:
        """Leaves nothing where something fails."""
        try:
            yield
        except BaseException:
            self.__exit__()
            raise

    @staticmethod
    def _ip(machine: Machine, line: str) -> None:
        """`ip` on a machine's network, which names other machines by process ids of this one."""
        command = ["nsenter", "--target", str(machine.init), "--net", "ip", *line.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ip {line}: {done.stderr.strip()}")

    def add(self, name: str) -> Machine:
        """A machine of that name. One that was killed gets its address back."""
        ports = self._ports
        port = ports.setdefault(name, f"port{len(ports)}")
        address = f"{NETWORK}.{list(ports).index(name) + 2}"
        with self._or_none():
            if name in self.machines:
                with contextlib.suppress(RuntimeError):  # it has gone with the network, unless a socket holds that
                    self._ip(self._bridge, f"link delete {port}")
            machine = self.machines[name] = Machine(name, address, self._folder / name, self.own)
            self._ip(machine, f"link add name eth0 type veth peer name {port} netns {self._bridge.init}")
            self._ip(machine, f"address add {address}/24 dev eth0")
            self._ip(machine, "link set eth0 up")
            self._ip(machine, f"route add default via {GATEWAY}")  # as on other machines; it leads nowhere
            self._ip(self._bridge, f"link set {port} master bridge up")
        return machine

    def cut(self, name: str) -> None:
        """Nothing reaches the machine any more, and it reaches nothing; no connection is closed."""
        self._ip(self._bridge, f"link set {self._ports[name]} down")

    def mend(self, name: str) -> None:
        """Takes back `cut`."""
        self._ip(self._bridge, f"link set {self._ports[name]} up")
