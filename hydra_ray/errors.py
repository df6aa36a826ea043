"""What a user did wrong, as opposed to what we did wrong."""


class UserError(Exception):
    """A mistake in the input: config, files, a server that cannot be reached.

    The message is one line that names what is wrong, where, and what to do. The command line prints it and
    exits with code 2; no traceback is shown.
    """


class BudgetReachedError(UserError):
    """`llm.max_calls` or `llm.max_cost` was reached. Everything answered so far is kept in the response cache."""


class UnfinishedError(UserError):
    """Some answers are missing for reasons that may pass: the same command again asks only for these."""


class NothingToLearnError(UserError):
    """The training users' data and the LLM's answers teach a method nothing; everything else may go on without it."""


class UselessAnswersError(UserError):
    """More of the black box's answers are of no use than a stage goes on with (`llm.accept_useless`)."""
