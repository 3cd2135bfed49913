"""Headers that a section adds to its requests: which names it may set, and values that may be secret."""

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Discriminator, StringConstraints, Tag

from watcher.core.secret import SCHEMES, Secret

CREDENTIAL = re.compile(r"auth|cookie|key|password|secret|token")


def named(written: str) -> str:
    """Return the name of a header in lower case.

    Raises:
        ValueError: it is none.

    """
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", written):
        raise ValueError("expected the name of a header")
    return written.lower()


def _one_line(secret: Secret) -> Secret:
    if secret.is_resolved and not re.fullmatch(r"[ -~]+", secret.reveal()):
        raise ValueError("expected a secret of printable ASCII in one line")
    return secret


def _kind(written: object) -> str:
    is_secret = isinstance(written, Secret) or (isinstance(written, str) and written.startswith(SCHEMES))
    return "secret" if is_secret else "text"


OneLine: TypeAlias = Annotated[Secret, AfterValidator(_one_line)]
HeaderValue: TypeAlias = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[ -~]*$"), Tag("text")] | Annotated[OneLine, Tag("secret")],
    Discriminator(_kind),
]


def hide_credentials(headers: object) -> object:
    """Make secrets of the values whose header says that they are credentials, so that nothing shows them."""
    if not isinstance(headers, dict):
        return headers
    return {
        name: Secret.literal(value) if _kind(value) == "text" and _is_credential(name, value) else value
        for name, value in headers.items()
    }


def _is_credential(name: object, value: object) -> bool:
    return isinstance(value, str) and value != "" and CREDENTIAL.search(str(name).lower()) is not None


def revealed(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    """Return the headers as they are sent."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
