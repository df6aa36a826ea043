"""The request path, stage by stage: retrieve, rerank, prompt, sample, select. Evaluation and service both call it.

Stages are pure: what is retrieved, how it is ordered, which prompt is asked, which candidate answers.
`InferencePipeline` runs them for one request over three protocols (retriever, scorer, LLM); the evaluation calls the
same stages on batches, where the answers come from a step that asks the LLM.
"""
