"""Every error the product raises on purpose.

One base class; each message says what was expected, what came and what to do next. The server turns these classes
into RFC 9457 problem documents and the command line into exit codes, so neither formats an error of its own.
"""


class AuditError(Exception):
    """Base of all expected errors; `str(error)` is fit to show to a user and holds no secret."""


class ConfigurationError(AuditError):
    """A setting is missing or malformed."""


class ValidationError(AuditError):
    """Input does not have the form it must have.

    `faults` lists each fault as `(where, what)`, where `where` is a JSON pointer or a line number, so that a caller
    can mend everything at once.
    """

    def __init__(self, message: str, faults: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class ConflictError(AuditError):
    """An identifier that must be unique for ever is already bound to other content.

    `faults` has the form of `ValidationError.faults`.
    """

    def __init__(self, message: str, faults: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class DatabaseUnavailableError(AuditError):
    """The database cannot be reached or did not answer in time; nothing was stored by this call."""


class AnchorUnavailableError(AuditError):
    """An anchor outside the database did not take or show a checkpoint; it is tried again.

    `retry_after_s` is the pause that the anchor itself asked for, in seconds.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TamperedError(AuditError):
    """A digest, signature or proof does not match what it vouches for."""


class MigrationError(AuditError):
    """The schema is not what the migrations say, or a migration cannot be applied or undone."""


class AlreadyRunningError(AuditError):
    """Another process already holds the home or the lock that this one needs."""


class ModelServerError(AuditError):
    """A server with a model of somebody else's refused, failed or answered what cannot be used.

    `is_permanent` says that asking again is useless until somebody changes something. `retry_after_s` is the pause that
    the server itself asked for, in seconds.
    """

    def __init__(self, message: str, *, is_permanent: bool, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.retry_after_s = retry_after_s


class EmbeddingServerError(ModelServerError):
    """A server that embeds texts gave no vectors; what it answered before is stored."""


class ChatModelError(ModelServerError):
    """A chat model gave no text; whoever asked it has a composed one instead."""
