"""Pretend providers and a receiver that verifies: what `watcher demo` shows and the tests talk to."""
