"""Where the reference of a secret leads: a variable of the environment, a file, a credential of systemd."""

from collections.abc import Callable, Mapping
from pathlib import Path


def resolver(folder: Path, *, environ: Mapping[str, str]) -> Callable[[str], str]:
    """Return what follows a reference; files are relative to `folder`.

    It raises a ValueError where a reference leads nowhere.
    """

    def resolve(reference: str) -> str:
        scheme, _, name = reference.partition(":")
        if scheme == "env":
            if not environ.get(name):
                state = "empty" if name in environ else "not set"
                raise ValueError(f"expected a secret in the environment variable {name}, which is {state}")
            return environ[name]
        if scheme == "file":
            return _secret_file(folder / name)
        if "CREDENTIALS_DIRECTORY" not in environ:
            raise ValueError(f"expected the credential {name}, but $CREDENTIALS_DIRECTORY is not set")
        if Path(name).name != name:
            raise ValueError("expected the plain name of a credential, without a folder")
        return _secret_file(Path(environ["CREDENTIALS_DIRECTORY"], name))

    return resolve


def _secret_file(path: Path) -> str:
    try:
        value = path.read_text("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"expected a secret in {path}, which is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"expected a secret in {path}: {error.strerror}") from None
    if not value:
        raise ValueError(f"expected a secret in {path}, which is empty")
    return value
