"""`watcher demo`: everything at once on this machine."""

import typer


def demo() -> None:
    """Show everything at once on this machine, and end by itself.

    Four pretend providers, a receiver that verifies, and the daemon.
    """
    import signal

    import anyio

    from watcher.demo.show import show
    from watcher.demo.terminal import open_console

    # Whoever is told to stop ends its daemon too, as by Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if not anyio.run(show, open_console()):
        raise typer.Exit(1)
