"""The process that tests fork `watcher` from: it has loaded all that any command needs, and does nothing else.

`python forking.py` is asked over its standard input, a socket: by a folder, an environment and arguments, and with them
four open files: the three standard ones, and one in which it writes the process id and at last the exit status.
"""

import gc
import importlib
import json
import multiprocessing
import os
import pkgutil
import signal
import socket
import sys
from collections.abc import Sequence
from multiprocessing.connection import wait

import anyio

import watcher
from watcher.cli import main

LATER = ("botocore.auth", "botocore.awsrequest", "botocore.session", "cryptography.hazmat.primitives.kdf.hkdf", "jwt")
LARGEST = 1 << 17  # bytes of a question


def load() -> None:
    """Load what a command would load, and the event loop."""
    for module in pkgutil.walk_packages(watcher.__path__, "watcher."):
        if module.name != "watcher.__main__":
            importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)
    anyio.run(anyio.sleep, 0, backend_options={"use_uvloop": True})


def serve(asked: socket.socket) -> None:
    """Fork what is asked for and say how each ended, until nobody is there who could ask."""
    lives: dict[int, tuple[multiprocessing.Process, int]] = {}
    while True:
        for ready in wait([asked, *lives]):
            if isinstance(ready, int):
                life, answer = lives.pop(ready)
                life.join()
                os.write(answer, str(life.exitcode).encode())
                os.close(answer)
                continue
            question, files, _, _ = socket.recv_fds(asked, LARGEST, 4)
            if not question:
                return
            *standard, answer = files
            life = multiprocessing.Process(target=live, args=[standard], kwargs=json.loads(question), daemon=True)
            life.start()
            lives[life.sentinel] = life, answer
            os.write(answer, str(life.pid).encode())
            for file in standard:
                os.close(file)


def live(standard: Sequence[int], *, folder: str, environ: dict[str, str], arguments: list[str]) -> None:
    """Be the `watcher` that was asked for, as if just started."""
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["watcher", *arguments]
    main()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who ask
    load()
    gc.freeze()  # what all share is not copied to each by looking for garbage in it
    multiprocessing.set_start_method("fork")
    serve(socket.socket(fileno=0))
