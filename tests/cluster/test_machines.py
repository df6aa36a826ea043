"""What tests of lost nodes rest on: machines in namespaces that reach each other by their addresses alone."""

import socket
from pathlib import Path

import psutil
import pytest

from tests.cluster.machines import Network

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("namespaces")]


def test_machines_are_reached_cut_off_killed_and_brought_back(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        one, two = network.add("one"), network.add("two")
        with one.inside(lambda: socket.create_server((one.address, 0))) as listening:
            at = listening.getsockname()

            def call() -> None:
                two.inside(lambda: socket.create_connection(at, timeout=5).close())

            call()
            with pytest.raises(ConnectionRefusedError):  # loopback is each machine's own
                two.inside(lambda: socket.create_connection(("127.0.0.1", at[1]), timeout=5))
            with pytest.raises(TimeoutError):  # and nothing is behind the bridge
                two.inside(lambda: socket.create_connection(("192.0.2.1", 80), timeout=1))
            network.cut("two")
            with pytest.raises(TimeoutError):
                two.inside(lambda: socket.create_connection(at, timeout=0.5))
            network.mend("two")
            call()
        assert two.run(["hostname"]) == "two\n"
        left = psutil.Process(two.popen(["sleep", "1000"]).pid)
        inits = [machine.init for machine in (one, two)]
        two.kill()
        assert left.wait(5) is not None
        assert network.add("two").address == two.address
        inits.append(network.machines["two"].init)
    assert not [pid for pid in inits if psutil.pid_exists(pid)]
