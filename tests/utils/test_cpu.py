"""What the processor can do."""

from pathlib import Path

from hydra_ray.utils.cpu import fastest_precision


def test_bf16_only_where_the_processor_has_it(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    for flags, expected in (
        ("fpu avx2", "fp32"),
        ("fpu avx512f avx512_bf16", "bf16"),
        ("amx_tile amx_bf16", "bf16"),
    ):
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        assert fastest_precision(cpuinfo) == expected
    assert fastest_precision(tmp_path / "none") == "fp32"
