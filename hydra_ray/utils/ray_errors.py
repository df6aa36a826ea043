"""How a user's mistake comes back from a worker: raised there as UserError, raised here as the same UserError.

Ray wraps an exception of a task, of an actor, of a Ray Data function and of a Ray Train worker each in its own way.
`find_user_error` finds the UserError in any of them; `unwrap_user_errors` raises it, without a worker's traceback. Of
an actor's constructor nothing but a text comes back, of which the UserError's line is read.
"""

import contextlib
import logging
import re
from collections import deque
from collections.abc import Iterator

from hydra_ray.errors import UserError

WRAPPED = ("cause", "_base_exc", "controller_failure", "health_check_failure", "__cause__", "__context__")
"""Where Ray's exceptions, and Python's own, keep the exception that they are about."""

ADDED = "\nFailed to "
"""Begins what Ray Data appends to the message of an exception that a function of ours has raised."""


_IN_TEXT = re.compile(r"^hydra_ray\.errors\.\w+: (.+)$", re.MULTILINE)
"""The line of a traceback that a UserError of ours ends with."""


_LOST_IN_TEXT = re.compile(
    r"^ray\.exceptions\.(\w*(?:Actor|Node|Raylet)DiedError|ActorUnavailableError|WorkerCrashedError|OutOfMemoryError"
    r"|\w*Object\w*LostError): (.+)$",
    re.MULTILINE,
)
"""The same of exceptions that are about a worker, a node or an object that has gone."""


_OUT_OF_MEMORY = re.compile(
    r"killed due to the node running low on memory.*?\(IP: ([^,]+),.*?was ([\d.]+)GB used / ([\d.]+)GB", re.DOTALL
)
"""What Ray says of the workers that it has killed before the machine would run out of memory."""


_DIED_BECAUSE = re.compile(r"^\s*The actor died because (.+?)(?:\. |\.?$)", re.MULTILINE)
"""In the text of an ActorDiedError: why, in a line that may go on with a node's id."""


_BY_ITSELF = "error raised in its creation task"
"""In the text of an ActorDiedError: the actor was not lost, its constructor has raised."""


def find_user_error(error: BaseException) -> UserError | None:
    """The UserError that an exception of Ray's is about; None where there is none.

    An exception that Ray has made of both (a RayTaskError that is a UserError as well) shows a worker's traceback as
    its words: what is returned is the UserError as it was raised.
    """
    for one in _chain(error):
        if isinstance(one, UserError) and "cause" not in vars(one):
            return _own_words(one)
        if type(one).__name__ == "ActorDiedError" and (found := _IN_TEXT.findall(str(one))):
            return UserError(found[-1])
    return None


def user_error_in(text: str) -> UserError | None:
    """The UserError that the traceback of another process ends with; None: it ends with another."""
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    found = _IN_TEXT.fullmatch(last)
    return UserError(found[1]) if found else None


def lost_worker(error: BaseException) -> str | None:
    """What was lost, in a line, if an exception of Ray's is about a worker, a node or an object that has gone; else
    None. Work that is continued where it ended is worth another attempt then."""
    from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RayError, WorkerCrashedError

    for one in _chain(error):
        if isinstance(one, RayError) and (killed := out_of_memory(str(one))):
            return killed
        if isinstance(one, RayActorError) and _BY_ITSELF in str(one):
            return None
        if isinstance(one, (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError)):
            return _loss(type(one).__name__, str(one))
        # A task that waited for another's result passes on the text alone, as Ray Data's readers do.
        if isinstance(one, RayError) and (found := list(_LOST_IN_TEXT.finditer(str(one)))):
            return _loss(found[-1][1], str(one)[found[-1].start(2) :])
    return None


def out_of_memory(text: str) -> str | None:
    """The line for workers that were killed for want of memory, if Ray's text is about that."""
    found = _OUT_OF_MEMORY.search(text)
    if found is None:
        return None
    node, used, limit = found.groups()
    return f"Ray killed workers on node {node}, whose memory was used up ({used} of {limit} GB)"


def _loss(name: str, text: str) -> str:
    """An exception's name, the first line of its text, and why the actor died where a later line knows."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    why = _DIED_BECAUSE.search(text)
    return f"{name}: {first.rstrip('.')} ({why[1].strip()})" if why else f"{name}: {first}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all those that it is about, nearest first."""
    seen: set[int] = set()
    waiting = deque([error])
    while waiting:
        one = waiting.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [getattr(one, name, None) for name in WRAPPED]
        inner += dict(getattr(one, "worker_failures", None) or {}).values()  # Ray Train's: rank -> exception
        waiting.extend(found for found in inner if isinstance(found, BaseException))


def _own_words(error: UserError) -> UserError:
    """Takes off what Ray Data has added to the message about retrying."""
    if error.args and isinstance(error.args[0], str):
        error.args = (error.args[0].partition(ADDED)[0], *error.args[1:])
    return error


@contextlib.contextmanager
def unwrap_user_errors() -> Iterator[None]:
    """Whatever ends in here because of a UserError on a worker raises that UserError, and Ray Data does not print it.

    Everything else is raised as it came, and printed unless it is about a lost worker. Datasets must be made in here.
    """
    with _original_exceptions(), _held_back() as held:
        try:
            yield
        except Exception as error:
            found = find_user_error(error)
            if found is None:
                if lost_worker(error) is not None:
                    held.clear()  # not the user's mistake, and often recovered from
                raise
            held.clear()
            if found is error:
                raise
            raise found from None


@contextlib.contextmanager
def _original_exceptions() -> Iterator[None]:
    """Ray Data raises what its functions raise, in place of an exception of its own that has forgotten the cause."""
    from ray.data import DataContext

    context = DataContext.get_current()
    before, context.raise_original_map_exception = context.raise_original_map_exception, True
    try:
        yield
    finally:
        context.raise_original_map_exception = before


@contextlib.contextmanager
def _held_back() -> Iterator[list[logging.LogRecord]]:
    """Keeps errors that Ray Data logs off the terminal until the end; what is left in the list is printed then."""
    held: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            held.append(record)
        return record.levelno < logging.ERROR

    handlers = [
        handler
        for handler in logging.getLogger("ray.data").handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]
    for handler in handlers:
        handler.addFilter(keep)
    try:
        yield held
    finally:
        for handler in handlers:
            handler.removeFilter(keep)
        for record in dict.fromkeys(held):
            for handler in handlers:
                handler.handle(record)


def root_cause_line(message: str, width: int = 400) -> str:
    """What a traceback says is wrong: its last named error with the line that explains it, or the message's end.

    At most `width` characters.
    """
    lines = [line for line in message.splitlines() if line.strip()]
    named = [i for i, text in enumerate(lines) if ": " in text and text.split(":")[0].endswith(("Error", "Exception"))]
    if not named:
        return lines[-1].strip()[:width] if lines else ""
    first = named[-1]
    kept = lines[first : first + 2] if lines[first + 1 : first + 2] and lines[first + 1][0] == " " else [lines[first]]
    return " ".join(text.strip() for text in kept)[:width]
