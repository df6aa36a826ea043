import pytest

from hydra_ray.utils.object_url import mistake_in


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/runs", "gs://b/x/y", "abfs://c@a.dfs.core.windows.net/x", "file:///srv/x", "s3://b/x?region=eu"],
)
def test_urls_of_object_stores(url: str) -> None:
    assert mistake_in(url) == ""


@pytest.mark.parametrize(
    "url", ["runs", "/srv/runs", "http://host/x", "s3://bucket", "s3://bucket/", "s3:///x", "s3://[/x"]
)
def test_what_is_none_is_named(url: str) -> None:
    assert repr(url) in mistake_in(url)


@pytest.mark.parametrize("url", ["s3://KEY:SECRET@bucket/runs", "s3://bucket/runs?secret_key=SECRET"])
def test_credentials_are_refused_and_not_repeated(url: str) -> None:
    assert "AWS_SECRET_ACCESS_KEY" in mistake_in(url)
    assert "SECRET@" not in mistake_in(url)
    assert "=SECRET" not in mistake_in(url)
