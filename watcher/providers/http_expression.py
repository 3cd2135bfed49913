"""A JMESPath expression of the configuration, and finding with it. What the found value means is `http.py`'s.

https://jmespath.org/specification.html
"""

from collections.abc import Mapping

import jmespath
from jmespath.exceptions import JMESPathError, LexerError, ParseError
from jmespath.functions import Functions
from jmespath.parser import ParsedResult
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class MismatchError(Exception):
    """An answer is not what its section says; the text names the key, and says nothing of the answer's content."""


class Expression:
    """Compiled as it is read, so that a wrong one is an error of its key; equal to another that is written alike."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        """Compile `text`.

        Raises:
            ValueError: it is none; the text says where and why.

        """
        self.text = text
        self._compiled = _compiled(text)

    def find(self, value: object, *, key: str) -> object:
        """Return what there is in a JSON value; null where there is nothing.

        Its work is bounded by the value's size: the language has no loop but over what is there.

        Raises:
            MismatchError: a function does not take what it was given; `key` names the expression.

        """
        try:
            found: object = self._compiled.search(value)
        # jmespath lets Python's own errors through: contains('text', `1`), ceil() of infinity, to_string() of depths.
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
            raise MismatchError(f"{key}: the expression cannot be applied to this answer") from None
        return found

    def __repr__(self) -> str:
        """Show what is written."""
        return f"Expression({self.text!r})"

    def __str__(self) -> str:
        """Return what is written."""
        return self.text

    def __eq__(self, other: object) -> bool:
        """Compare what is written."""
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        """Agree with `__eq__`."""
        return hash(self.text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic read an expression from a string."""
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def _validate(cls, written: object) -> "Expression":
        if isinstance(written, Expression):
            return written
        if not isinstance(written, str) or not written.strip():
            raise ValueError("expected a JMESPath expression")
        return cls(written)


def _compiled(text: str) -> ParsedResult:
    try:
        compiled = jmespath.compile(text)
        _check_calls(compiled.parsed)
    except ParseError as error:
        why = error.message if isinstance(error, LexerError) else error.msg
        place = f"at character {error.lex_position + 1}" if error.lex_position < len(text) else "at its end"
        raise ValueError(f"expected a JMESPath expression; {place}: {' '.join(why.split())}") from None
    except RecursionError:
        raise ValueError("expected a JMESPath expression; this one is nested too deep") from None
    return compiled


def _check_calls(node: Mapping[str, object]) -> None:
    """Find calls that can never succeed; jmespath itself would only say so with an answer at hand."""
    below = node["children"]
    inner = below if isinstance(below, list) else []
    if node["type"] == "function_expression":
        _check_call(str(node["value"]), len(inner))
    for child in inner:
        if isinstance(child, dict):  # a slice's are numbers
            _check_calls(child)


def _check_call(name: str, given: int) -> None:
    if name not in Functions.FUNCTION_TABLE:
        raise ValueError(f"expected a JMESPath expression; there is no function {name}()")
    taken = Functions.FUNCTION_TABLE[name]["signature"]
    if given < len(taken) or (given > len(taken) and not taken[-1].get("variadic")):
        raise ValueError(f"expected a JMESPath expression; {name}() takes {len(taken)} argument(s), not {given}")
