"""A secret that cannot be printed by accident. Where a reference leads is read by `config.py`, not here."""

from collections.abc import Callable
from typing import Self

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

MASK = "********"  # what is shown instead of a secret
SCHEMES = ("env:", "file:", "cred:")


class Secret:
    """A value written in the configuration as `env:NAME`, `file:/path`, `cred:name`, or literally.

    Validated with a context `{"resolve": callable}`, the reference is followed at once, and a reference that
    leads nowhere is an error of that key. Without one the secret stays unresolved: it can be shown, not used.
    """

    __slots__ = ("_value", "reference")

    def __init__(self, reference: str, value: str | None = None) -> None:
        """Hold `value`; `reference` is what may be shown, and is empty for a literal."""
        self.reference = reference
        self._value = value

    @classmethod
    def literal(cls, value: str) -> Self:
        """Hold a value that has no reference."""
        return cls("", value)

    @property
    def is_literal(self) -> bool:
        """Does the secret stand in the configuration itself?"""
        return not self.reference

    @property
    def is_resolved(self) -> bool:
        """Can it be revealed?"""
        return self._value is not None

    def reveal(self) -> str:
        """Return the secret itself.

        Raises:
            ValueError: it was read without being resolved.

        """
        if self._value is None:
            msg = f"the secret {self.reference} was not resolved"
            raise ValueError(msg)
        return self._value

    def __repr__(self) -> str:
        """Show the reference, never the value."""
        return f"Secret({self.reference or '********'})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Two secrets are equal when they are written alike and hold the same value."""
        return isinstance(other, Secret) and (self.reference, self._value) == (other.reference, other._value)

    def __hash__(self) -> int:
        """Agree with `__eq__`."""
        return hash((self.reference, self._value))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic read a secret from a string."""
        return core_schema.with_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def _validate(cls, written: object, info: ValidationInfo) -> "Secret":
        if isinstance(written, Secret):
            if written.is_resolved:
                return written
            written = written.reference
        if not isinstance(written, str) or not written:
            msg = 'expected a secret: "env:NAME", "file:/path", "cred:name" or the secret itself'
            raise ValueError(msg)
        if not written.startswith(SCHEMES):
            return cls.literal(written)
        context = info.context if isinstance(info.context, dict) else {}
        resolve: Callable[[str], str] | None = context.get("resolve")
        return cls(written, None if resolve is None else resolve(written))
