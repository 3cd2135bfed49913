"""watcher: polls the status APIs of message providers and tells your webhooks what changed."""

__version__ = "0.1.0"
