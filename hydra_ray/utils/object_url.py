"""URLs of places in an object store."""

from urllib.parse import parse_qsl, urlsplit

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "file")
_SECRETS = ("access_key", "secret_key", "session_token", "sas_token", "account_key")


def mistake_in(url: str) -> str:
    """What is wrong with a URL, as far as that can be seen without asking; empty: nothing. Repeats no credentials."""
    try:
        parts = urlsplit(url)
        secrets = parts.password or any(name in _SECRETS for name, _ in parse_qsl(parts.query))
    except ValueError as error:
        return f"{url!r} is not a URL ({error})"
    if secrets:
        return (
            "holds credentials; leave them out of the URL and give them to the processes, as in AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file") or len(parts.path) < 2:
        return f"{url!r} is not one of s3://bucket/path, gs://bucket/path, abfs://container@account/path, file:///path"
    return ""
