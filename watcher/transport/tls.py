"""Whom we trust and who we are, from a webhook's TLS files. Verification cannot be turned off."""

import ssl
from pathlib import Path

from watcher.core.errors import ConfigError


def tls_context(
    *, ca_file: Path | None = None, client_cert: Path | None = None, client_key: Path | None = None
) -> ssl.SSLContext:
    """Read PEM files; not in the event loop, as it reads the disk.

    With `ca_file` its certificates are trusted instead of the machine's. `client_cert` may hold its key as well.

    Raises:
        ConfigError: the text begins with the key, and names the file.

    """
    if ca_file:
        _check_certificates(ca_file, key="ca_file")
    elif machines := ssl.get_default_verify_paths().cafile:  # which OpenSSL takes for empty if it can't be read now
        _check_readable(Path(machines), key="ca_file (the machine's)")
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # which Debian's Python leaves to OpenSSL
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # which Python 3.13 turns on: many a private CA is older than that
    context.set_alpn_protocols(["http/1.1"])
    if client_cert:
        _check_certificates(client_cert, key="client_cert")
        _show(client_cert, context=context, client_key=client_key)
    elif client_key:
        raise ConfigError(f"client_key: {client_key}: of no use without client_cert")
    return context


def _check_certificates(path: Path, *, key: str) -> None:
    _check_readable(path, key=key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ConfigError(f"{key}: {path}: expected certificates in PEM") from None


def _check_readable(path: Path, *, key: str) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}: {path}: {error.strerror}") from None


def _show(certificate: Path, *, context: ssl.SSLContext, client_key: Path | None) -> None:
    """Have a certificate shown to servers that ask for one."""
    key, path = ("client_key", client_key) if client_key else ("client_cert", certificate)
    _check_readable(path, key=key)
    try:
        context.load_cert_chain(certificate, client_key, password=str)  # "", or OpenSSL would ask at the terminal
    except ssl.SSLError as error:
        is_another = error.reason == "KEY_VALUES_MISMATCH"
        wanted = f"the key of {certificate}" if is_another else "a key in PEM, without password"
        raise ConfigError(f"{key}: {path}: expected {wanted}") from None
