"""Files behind a URL (`s3://`, `gs://`, `hf://` and whatever else fsspec knows): listed, opened, distinguished."""

from dataclasses import dataclass
from typing import Any

import fsspec

from hydra_ray.errors import UserError

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs",
            "abfs": "adlfs", "abfss": "adlfs", "hdfs": "pyarrow", "sftp": "paramiko", "ssh": "paramiko",
            "http": "aiohttp", "https": "aiohttp"}  # fmt: skip
"""Protocol -> the package that fsspec needs for it."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """url: of the file. relative: its path under the root. size: in bytes."""

    url: str
    relative: str
    size: int


def is_remote(root: str) -> bool:
    """Whether `data.root` is a URL rather than a path of this machine."""
    return "://" in root


def list_files(root: str) -> list[RemoteFile]:
    """The files at or under a URL, at any depth, sorted by path. Raises UserError: unknown, unreachable, nothing."""
    system, path = _system(root)
    try:
        found: dict[str, Any] = system.find(path, detail=True)
        urls = {name: system.unstrip_protocol(name) for name in found}
    except Exception as error:  # every file system has errors of its own
        raise _refused(root, error) from None
    if not found:
        raise UserError(f"{root}: nothing there: data.root must be a file or the folder that holds the files")
    base = path.rstrip("/")
    return [
        RemoteFile(urls[name], name.removeprefix(base).lstrip("/") or name.rsplit("/", 1)[-1], int(info["size"] or 0))
        for name, info in sorted(found.items())
        if info.get("type") != "directory"
    ]


def open_file(url: str) -> Any:
    """The file as a binary stream. Raises UserError."""
    system, path = _system(url)
    try:
        return system.open(path, "rb")
    except Exception as error:
        raise _refused(url, error) from None


def checksum(url: str) -> str:
    """What changes with the file's content: of its entity tag, or of its size and time. Raises UserError."""
    system, path = _system(url)
    try:
        return str(system.checksum(path))
    except Exception as error:
        raise _refused(url, error) from None


def _system(url: str) -> tuple[Any, str]:
    protocol = url.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        advice = f"pip install {package}" if package else " ".join(str(error).split())
        raise UserError(f"data.root: {protocol}:// needs another package: {advice}") from None
    except ValueError as error:
        message, known = " ".join(str(error).split()), ", ".join(f"{name}://" for name in sorted(PACKAGES))
        raise UserError(f"data.root: {url}: {message}: give a path of this machine, or one of {known}") from None
    except Exception as error:
        raise _refused(url, error) from None
    return system, path


def _refused(url: str, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    message = " ".join(str(error).split())[:200]
    return UserError(f"{url}: cannot be read ({type(error).__name__}{': ' + message if message else ''}): check the "
                     "address, the network and the credentials in the environment")  # fmt: skip
