from hydra_ray.bench import timing


def test_ways_take_turns_and_the_first_round_does_not_count(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    order: list[str] = []
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    spent = {"slow": iter([50.0, 3.0, 1.0, 2.0]), "fast": iter([40.0, 0.5, 0.5, 4.0])}

    def way(name: str) -> None:
        order.append(name)
        now[0] += next(spent[name])

    found = timing.interleaved({name: lambda name=name: way(name) for name in ("slow", "fast")}, 3)
    assert found == {"slow": 2.0, "fast": 0.5}
    assert order == ["slow", "fast"] * 4
