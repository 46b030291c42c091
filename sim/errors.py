"""One small class per kind of user error. Each message names the value, the rule and the remedy."""


class DeleverageError(Exception):
    """Root of the errors a user can cause; the command line prints them without a traceback."""


class ConfigError(DeleverageError):
    """A configuration that breaks one or more rules.

    Args:
        problems: one line each, ``path: value, rule, remedy``.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataError(DeleverageError):
    """Replay data that is missing, empty, unsorted or not a number."""


class OutputError(DeleverageError):
    """A result folder that exists already or cannot be written."""


class ConservationError(DeleverageError):
    """A posting that does not balance: a defect of the code, never of the input."""
