"""Certificates of an authority of the tests' own, made by the script that ships (cluster/certificates.sh)."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "cluster" / "certificates.sh"

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl, which makes certificates")


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script, with further environment variables."""
    command = [str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)


def make_authority(folder: Path) -> Path:
    """An authority in a new folder, which is returned."""
    done = run("authority", folder)
    assert done.returncode == 0, done.stderr
    return folder


def issue(authority: Path, folder: Path, *names: str, days: int = 30) -> dict[str, str]:
    """A node's certificate; what the environment of its Ray must hold."""
    done = run("node", authority, folder, *names, DAYS=str(days))
    assert done.returncode == 0, done.stderr
    return variables(folder)


def let_end(authority: Path, folder: Path) -> None:
    """Signs a node's certificate anew, with yesterday as its last day."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    key: Any = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    old = x509.load_pem_x509_certificate((folder / "node.crt").read_bytes())
    yesterday = datetime.now(UTC) - timedelta(days=1)
    made = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, yesterday - timedelta(days=1), yesterday,
        list(old.extensions),
    )  # fmt: skip
    signed = made.sign(key, hashes.SHA256())
    (folder / "node.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def variables(folder: Path) -> dict[str, str]:
    """Environment variables for a certificate in a folder."""
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(folder / "node.crt"),
        "RAY_TLS_SERVER_KEY": str(folder / "node.key"),
        "RAY_TLS_CA_CERT": str(folder / "ca.crt"),
    }
