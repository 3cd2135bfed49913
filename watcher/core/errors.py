"""The few exceptions that cross a border. Expected failures of a poll or a POST are values, not exceptions."""


class WatcherError(Exception):
    """Whatever we can explain to a user: its text is the whole message."""


class ConfigError(WatcherError):
    """The configuration cannot be used; one line for each thing that is wrong, with file and key path."""


class RequestError(WatcherError):
    """A watch request cannot be accepted; the text says what was expected and where."""


class StoreError(WatcherError):
    """The store could not do what was asked; nothing of it was kept."""


class StoreBusyError(StoreError):
    """Another daemon owns the store; the text names its process."""


class StaleWatchError(StoreError):
    """A step was made from an old state of its watch: load it again, and poll again."""


class LeaseLostError(StoreError):
    """The watch's shard belongs to another worker now."""
