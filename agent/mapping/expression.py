"""Expressions of a mapping file: text to tree, by Python's own parser and a short list of what is allowed.

A signal is written bus.message.signal (or bus.message@source.signal); a string is a word of the field; `invalid` is "not
available". Nothing is executed: `agent/core/expression.py` evaluates the tree with exact ratios.
"""

import ast
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from agent.mapping.units import exact

__all__ = ["ExpressionError", "parse_expression"]

Tree = list[Any]

MAX_LENGTH = 1000  # characters
MAX_DEPTH = 24  # nesting; the board evaluates recursively

_REFERENCE = re.compile(r""""[^"]*"|'[^']*'|([A-Za-z_]\w*\.(?:0[xX][0-9A-Fa-f]+x?|\w+)(?:@\w+)?\.\w+)""")
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_ALLOWED = "+ - * / comparisons, and, or, not, a if c else b, min(), max(), abs(), numbers, signals, words"


class ExpressionError(Exception):
    """What is wrong with an expression; `column` counts from 1."""

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column


def parse_expression(text: str, signal: Callable[[str], int], words: dict[str, Fraction]) -> Tree:
    """Return the tree of `text`.

    `signal` gives the operand index of a reference and raises LookupError with the reason; `words` are the words that
    the result may be, as physical values. Raises ExpressionError.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(MAX_LENGTH, f"longer than {MAX_LENGTH} characters")
    # References become names of the same length, so that columns stay right and 0x112 may stand between dots.
    references: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0]
        placeholder = f"_{len(references)}".ljust(len(match[1]), "_")
        references[placeholder] = match[1]
        return placeholder

    plain = _REFERENCE.sub(name, text)
    try:
        expression = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        column = getattr(error, "offset", None) or len(text) + 1  # 0: behind the end
        raise ExpressionError(column, f"not an expression ({getattr(error, 'msg', None) or error})") from error
    return _Parser(plain, references, signal, words).tree(expression, True, 0)


class _Parser:
    def __init__(
        self, text: str, references: dict[str, str], signal: Callable[[str], int], words: dict[str, Fraction]
    ) -> None:
        self._text = text
        self._references = references
        self._signal = signal
        self._words = words

    def tree(self, node: ast.expr, result: bool, depth: int) -> Tree:
        """`result`: the value of this node may become the value of the whole, so a word may stand here."""
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested deeper than {MAX_DEPTH}")
        deeper = depth + 1
        match node:
            case ast.Constant():
                return self._constant(node, result)
            case ast.Name():
                return self._name(node)
            case ast.BinOp(left, operator, right) if type(operator) in _BINARY:
                return [_BINARY[type(operator)], self.tree(left, False, deeper), self.tree(right, False, deeper)]
            case ast.UnaryOp(ast.USub(), operand):
                return ["negative", self.tree(operand, False, deeper)]
            case ast.UnaryOp(ast.UAdd(), operand):
                return self.tree(operand, False, deeper)
            case ast.UnaryOp(ast.Not(), operand):
                return ["not", self.tree(operand, False, deeper)]
            case ast.BoolOp(operator, values):
                kind = "and" if isinstance(operator, ast.And) else "or"
                return [kind, *(self.tree(value, False, deeper) for value in values)]
            case ast.Compare():
                return self._compare(node, deeper)
            case ast.IfExp(test, body, orelse):
                branches = [self.tree(body, result, deeper), self.tree(orelse, result, deeper)]
                return ["if", self.tree(test, False, deeper), *branches]
            case ast.Call(ast.Name(name), arguments, []) if name in ("min", "max", "abs"):
                if (len(arguments) == 1) != (name == "abs") or not arguments:
                    raise self._error(node, f"{name}() takes {'one value' if name == 'abs' else 'two values or more'}")
                return [name, *(self.tree(argument, False, deeper) for argument in arguments)]
        raise self._error(node, f"not allowed here; allowed are {_ALLOWED}")

    def _compare(self, node: ast.Compare, depth: int) -> Tree:
        values = [self.tree(value, False, depth) for value in (node.left, *node.comparators)]
        parts = []
        for operator, left, right in zip(node.ops, values, values[1:], strict=False):
            kind = _COMPARE.get(type(operator))
            if kind is None:
                raise self._error(node, f"comparison not allowed; allowed are {' '.join(_COMPARE.values())}")
            parts.append([kind, left, right])
        return parts[0] if len(parts) == 1 else ["and", *parts]

    def _constant(self, node: ast.Constant, result: bool) -> Tree:
        value = node.value
        if isinstance(value, str):
            if not result:
                raise self._error(node, f'the word "{value}" may only be a result, not be calculated with')
            if value not in self._words:
                allowed = ", ".join(f'"{word}"' for word in self._words) or "this field has no words"
                raise self._error(node, f'unknown word "{value}"; allowed: {allowed}')
            ratio = self._words[value]
        elif isinstance(value, bool | int):
            ratio = Fraction(value)
        elif isinstance(value, float):
            # The digits as written: 0.1 is one tenth here, not the nearest binary fraction.
            digits = ast.get_source_segment(self._text, node) or repr(value)
            try:
                ratio = exact(digits)
            except ValueError as error:
                raise self._error(node, str(error)) from None
        else:
            raise self._error(node, f"not allowed here; allowed are {_ALLOWED}")
        return ["number", ratio.numerator, ratio.denominator]

    def _name(self, node: ast.Name) -> Tree:
        if node.id == "invalid":
            return ["invalid"]
        reference = self._references.get(node.id)
        if reference is None:
            raise self._error(node, f"{node.id} is not a signal; a signal is written bus.message.signal")
        try:
            return ["signal", self._signal(reference)]
        except LookupError as error:
            raise self._error(node, str(error.args[0])) from error

    def _error(self, node: ast.expr, reason: str) -> ExpressionError:
        # ast counts UTF-8 bytes.
        line = self._text.splitlines()[node.lineno - 1]
        column = len(line.encode()[: node.col_offset].decode(errors="ignore")) + 1
        return ExpressionError(column, reason)
