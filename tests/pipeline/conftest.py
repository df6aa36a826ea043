from tests.llm.conftest import threaded_server

__all__ = ["threaded_server"]
