"""What a user did wrong with a command, as opposed to what is wrong with their data."""


class UsageError(ValueError):
    """A command cannot start as it was given; the message says what to give instead."""


class MapWarning(UserWarning):
    """The maps of another method may not be what was meant."""
