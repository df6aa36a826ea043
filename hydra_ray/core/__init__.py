"""Pure logic: tasks, prompts, retrieval, labels, sharding, metrics. Nothing here knows Ray, HTTP or files of a run."""
