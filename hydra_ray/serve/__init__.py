"""Serving: what a run trained, hosted on Ray Serve behind an endpoint that OpenAI's clients speak.

    http (pure FastAPI) -> Service -> Personaliser -> retriever, scorer, LLM
                                   -> users (durable), fitter

Everything but `deployments` and `command` is free of Ray and tested without it.
"""
