"""Whether the service is ready."""


def test_readiness(live, http):
    assert http.get("/readyz").json() == {"ready": True, "parts": {"history_server": "ok", "scorer": "ok"}}
    live.service.parts = {"history_server": "ok", "scorer": "starting"}
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["scorer"]) == (503, "starting")
    assert http.get("/healthz").json() == {"status": "ok"}
    live.service.parts = {"history_server": "ok"}
