"""A NATS credentials file (`.creds`): who we are, and the key that proves it. Reads text only.

nats-py would read it with `nkeys`, which is not kept up, and would never return from a file that is something else.
"""

import base64
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# https://docs.nats.io/using-nats/developer/connecting/creds
_FILE = re.compile(
    r"-BEGIN NATS USER JWT-+\s+(?P<token>[\w.-]+)\s+-.*-BEGIN USER NKEY SEED-+\s+(?P<seed>SU[A-Z2-7]{56})\s", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user: the token that an account has signed, and the user's own key."""

    token: bytes = field(repr=False)
    key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def read(cls, text: str) -> "Credentials":
        """Read the text of a file.

        Raises:
            ValueError: it is none; what it holds is not said.

        """
        found = _FILE.search(text)
        if found is None:
            raise ValueError("expected a NATS credentials file: a USER JWT and a USER NKEY SEED")
        # Two bytes of what kind of key it is, the key, two bytes of checksum; 6 bits short of whole groups of base32.
        seed = base64.b32decode(f"{found['seed']}======")[2:34]
        return cls(found["token"].encode(), Ed25519PrivateKey.from_private_bytes(seed))

    def show(self) -> bytes:
        """Say who we are."""
        return self.token

    def sign(self, nonce: str) -> bytes:
        """Answer a server's challenge."""
        return base64.b64encode(self.key.sign(nonce.encode()))
