from hydra_ray.utils.ray_errors import root_cause_line


def test_the_telling_line_of_a_traceback():
    text = "Traceback (most recent call last):\n  File x\nValueError: no such architecture\n\nRetrying 2 more time(s)."
    assert root_cause_line(text) == "ValueError: no such architecture"
    assert root_cause_line("RuntimeError: 1 error\n  too long\nmore") == "RuntimeError: 1 error too long"
    assert root_cause_line("just this") == "just this"
    assert root_cause_line("") == ""
