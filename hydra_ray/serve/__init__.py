"""Serving: what a run trained, hosted on Ray Serve behind an endpoint that OpenAI's clients speak.

    http (pure FastAPI) -> Service -> InferencePipeline -> retriever, scorer, LLM
                                   -> users (durable), fitter

`deployments` puts this on Ray Serve, as four kinds of `replicas`. Beside these two, only `remote`, `meters`, `scrape`,
`deploy`, `deploy_file` and `command` import Ray; what they are wrapped around is free of it and tested without it.
"""
