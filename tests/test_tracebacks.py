from hydra_ray.tracebacks import telling_line


def test_the_telling_line_of_a_traceback():
    text = "Traceback (most recent call last):\n  File x\nValueError: no such architecture\n\nRetrying 2 more time(s)."
    assert telling_line(text) == "ValueError: no such architecture"
    assert telling_line("RuntimeError: 1 error\n  too long\nmore") == "RuntimeError: 1 error too long"
    assert telling_line("just this") == "just this"
    assert telling_line("") == ""
