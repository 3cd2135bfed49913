"""`ports.Transport` over aiohttp; the only client code that knows it. What an answer means is said elsewhere.

`client.py` sends and reads, `body.py` bounds what is read, `faults.py` turns exceptions into values. For deliveries
`connector.py` leaves a `trail.py` of how far each attempt got, `guarded.py` forbids addresses, `tls.py` reads files.
`names.py` looks names up.
"""

from watcher.transport.client import MOST_BYTES, open_transport
from watcher.transport.tls import tls_context

__all__ = ["MOST_BYTES", "open_transport", "tls_context"]
