"""Text as PostgreSQL takes it: without U+0000, which everybody else may write. No SQL, no database."""

SUBSTITUTE = "\x1a"  # made for that; and no id and no name can hold it, so whoever asks for one with U+0000 finds none


def storable(text: str) -> str:
    """Return a text that can be stored, or asked for. JSON needs this not: it writes U+0000 in plain characters."""
    return text.replace("\0", SUBSTITUTE)


def storable_or_none(text: str | None) -> str | None:
    """Return a text, if there is one, that can be stored, or asked for."""
    return None if text is None else storable(text)
