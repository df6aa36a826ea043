"""All routes together, and their document."""

import json


def test_allow_names_every_method_of_the_path(http):
    assert http.patch("/v1/users/ann").headers["allow"] == "DELETE, GET"


def test_the_document_names_every_error(http):
    paths = http.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            shapes = json.dumps({code: answer for code, answer in operation["responses"].items() if code >= "4"})
            assert "HTTPValidationError" not in shapes, path
            assert ("401" in operation["responses"]) == path.startswith("/v1")
