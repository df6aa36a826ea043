"""A kube-apiserver of the tests' own, with its etcd, on loopback: it takes or refuses objects; no pod is ever run.

Both end with this process, however it ends.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests import certificates

PROGRAMS = ("kube-apiserver", "etcd", "kubectl")
ASSETS = "KUBEBUILDER_ASSETS"
"""The variable by which controller-runtime's envtest finds these programs, in a folder without any other."""
_HOST = "127.0.0.1"
_START_S = 120
_WITH_US = ["setpriv", "--pdeathsig", "KILL"]


def find(program: str) -> str | None:
    """Its path: in the folder that KUBEBUILDER_ASSETS names, else on PATH."""
    return shutil.which(program, path=os.environ.get(ASSETS) or None) or shutil.which(program)


def reason_to_skip() -> str:
    """Why no API server can be started here; "" where one can."""
    missing = [program for program in PROGRAMS if find(program) is None]
    if missing:
        return f"{', '.join(missing)} neither on PATH nor in the folder that {ASSETS} names"
    missing = [program for program in ("openssl", "setpriv") if shutil.which(program) is None]
    return f"{', '.join(missing)} not installed (Debian: openssl, util-linux)" if missing else ""


class ApiServer(contextlib.AbstractContextManager["ApiServer"]):
    """It runs inside `with`. Its token grants every right.

    folder: for the state of etcd, logs, and certificates; the caller removes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = (0, 0)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "ApiServer":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends both, the API server first."""
        while self._running:
            process = self._running.pop()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kubectl(self, *arguments: str, objects: list[dict[str, Any]] | None = None) -> subprocess.CompletedProcess[str]:
        """A command against it. objects: what `-f -` reads."""
        command = [str(find("kubectl")), f"--kubeconfig={self.folder / 'kubeconfig'}", *arguments]
        given = "" if objects is None else json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        # HOME: what kubectl keeps of one server's discovery must not be asked of another one at the same port.
        env = {**os.environ, "HOME": str(self.folder)}
        return subprocess.run(command, env=env, input=given, capture_output=True, text=True, timeout=120, check=False)

    def answer(self, *arguments: str, objects: list[dict[str, Any]] | None = None) -> str:
        """The output of a command that must succeed without a warning."""
        done = self.kubectl(*arguments, objects=objects)
        assert (done.returncode, done.stderr) == (0, ""), f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def _start(self) -> None:
        state, peers, port = _free_ports(3)
        etcd = f"http://{_HOST}:{state}"
        self._run("etcd", f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={etcd}",
                  f"--advertise-client-urls={etcd}", f"--listen-peer-urls=http://{_HOST}:{peers}",
                  "--unsafe-no-fsync")  # fmt: skip
        authority = certificates.make_authority(self.folder / "authority")
        own = self.folder / "own"
        certificates.issue(authority, own, _HOST, "localhost")
        token = secrets.token_hex(16)
        (self.folder / "tokens").write_text(f"{token},tests,tests,system:masters\n")
        self._write_kubeconfig(port, token, own / "ca.crt")
        self._run(
            "kube-apiserver", f"--etcd-servers={etcd}", f"--bind-address={_HOST}", f"--advertise-address={_HOST}",
            f"--secure-port={port}", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
            f"--tls-cert-file={own / 'node.crt'}", f"--tls-private-key-file={own / 'node.key'}",
            f"--token-auth-file={self.folder / 'tokens'}", "--authorization-mode=RBAC",
            f"--service-account-issuer=https://{_HOST}:{port}", f"--service-account-key-file={own / 'node.crt'}",
            f"--service-account-signing-key-file={own / 'node.key'}",
            # The accounts that it demands of pods are made by a controller, and none runs here.
            "--disable-admission-plugins=ServiceAccount",
        )  # fmt: skip
        end = time.monotonic() + _START_S
        while (done := self.kubectl("get", "--raw", "/readyz")).returncode:
            ended = [process.args for process in self._running if process.poll() is not None]
            if ended or time.monotonic() > end:
                raise RuntimeError(f"no API server after {_START_S} s or it has ended: {done.stderr}\n{self._logs()}")
            time.sleep(0.5)
        major, minor = json.loads(self.answer("get", "--raw", "/version"))["gitVersion"].lstrip("v").split(".")[:2]
        self.version = (int(major), int(minor))

    def _run(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.log").open("wb") as log:
            command = [*_WITH_US, str(find(program)), *arguments]
            self._running.append(
                subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _write_kubeconfig(self, port: int, token: str, authority: Path) -> None:
        cluster = {"server": f"https://{_HOST}:{port}", "certificate-authority": str(authority)}
        context = {"cluster": "tests", "user": "tests"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests",
        }
        (self.folder / "kubeconfig").write_text(json.dumps(config))
        (self.folder / "kubeconfig").chmod(0o600)

    def _logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((_HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
