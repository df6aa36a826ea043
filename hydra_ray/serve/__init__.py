"""Serving: what a run trained, hosted on Ray Serve behind an endpoint that OpenAI's clients speak.

    http (pure FastAPI) -> Service -> InferencePipeline -> retriever, scorer, LLM
                                   -> users (durable), fitter

`app` puts this on Ray Serve, as the four `deployments`. Besides these two, only `clients.deployments`, `observability`,
`deploy` and `local` import Ray; what they are wrapped around is free of it and tested without it.
"""
