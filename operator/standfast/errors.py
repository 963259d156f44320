"""Every exception raised on purpose.

A class exists because some caller does something different with it: the controller, the agent and
the command line each map them to an action, an exit code and an HTTP status (`docs/style.md`).
A message has three parts: what, with the values; why, the rule it broke; the remedy, to type.
"""


class StandfastError(Exception):
    """Base of all of them: one problem, in a sentence.

    Args:
        problem: What is wrong, with the values, and the rule it breaks.
        remedy: What to type or change; empty when there is nothing to do.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    # The core's errors have nothing but the standard library: no `override` before Python 3.12.
    def __str__(self) -> str:  # type: ignore[explicit-override]
        return f"{self.problem}\n  fix: {self.remedy}" if self.remedy else self.problem


class UserError(StandfastError):
    """A person must change something first; no retry before a change."""

    exit_code = 2
    http_status = 400


class TransientError(StandfastError):
    """Try again, not before `retry_after_ms`."""

    exit_code = 1
    http_status = 503

    def __init__(self, problem: str, *, remedy: str = "", retry_after_ms: int = 1000) -> None:
        super().__init__(problem, remedy=remedy)
        self.retry_after_ms = retry_after_ms


class RefusedError(StandfastError):
    """Nothing is broken; the safe answer is no."""

    exit_code = 3
    http_status = 409


class OldTokenError(RefusedError):
    """Another replica of the operator acts now; or the Lease that tokens come from began anew.

    Args:
        seen: The highest token that was seen here.
    """

    def __init__(self, problem: str, *, remedy: str = "", seen: int = 0) -> None:
        super().__init__(problem, remedy=remedy)
        self.seen = seen


class InvariantError(StandfastError):
    """Two nodes might run, or durable state contradicts itself: stop acting."""

    exit_code = 4
    http_status = 500
