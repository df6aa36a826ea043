import subprocess
import sys

PROGRAM = """
import os, sys
from hydra_ray.utils.stderr_lines import stderr_without

os.write(2, b"before: noise\\n")
with stderr_without("noise"):
    os.write(2, b"native noise\\n")
    print("python's own noise", file=sys.stderr)
    os.write(2, b"native news\\n")
    os.system("echo of a child >&2")
    sys.stderr.write("half a ")
{end}
print("line", file=sys.stderr)
os.write(2, b"after: noise\\n")
"""


def run(end: str, **options: object) -> str:
    words = [sys.executable, "-c", PROGRAM.format(end=end)]
    return subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False, **options).stderr


def test_lines_with_the_text_are_left_out_and_no_others() -> None:
    lines = run("").splitlines()
    assert lines == ["before: noise", "native news", "of a child", "half a ", "line", "after: noise"]


def test_what_is_said_before_an_abort_is_not_lost() -> None:
    assert "fatal: this is why" in run('    os.write(2, b"fatal: this is why\\n"); os.abort()')


def test_without_grep_everything_appears() -> None:
    assert "native noise" in run("", env={"PATH": "/nowhere"})


def test_a_closed_standard_error_is_no_failure() -> None:
    program = "import os; os.close(2); import sys; from hydra_ray.utils.stderr_lines import stderr_without\n"
    program += "with stderr_without('noise'): print('done')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n")
