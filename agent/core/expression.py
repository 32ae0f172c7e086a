"""Exact evaluation of the small arithmetic of a mapping; `agent/mapping/expression.py` makes the trees.

A tree is a nested list, its first entry the kind of node. A value is (numerator, denominator) with a positive denominator, or
None when it is not known. Truth is 1/1 and 0/1.

    ["number", n, d]               ["signal", operand index]          ["invalid"]
    ["item", out, lo, hi, zero]    a count of the same sample, minus `zero`; not known outside of lo..hi
    ["+" "-" "*" "/" "<" "<=" ">" ">=" "==" "!=", left, right]        ["negative" "abs" "not", operand]
    ["and" "or" "min" "max", operand, operand, ...]                   ["if", condition, then, otherwise]

An operand that is not known makes the result unknown, also in `and` and `or`; `if` needs only the branch it takes. Division
by zero is unknown.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Ratio = tuple[int, int]
    Tree = list[Any]

_TRUE = (1, 1)
_FALSE = (0, 1)


def evaluate(tree: "Tree", operands: "list[Ratio | None]", values: "list[int]") -> "Ratio | None":
    """Return the value of a tree; `operands` are physical values of signals, `values` the counts decoded so far."""
    kind = tree[0]
    if kind == "signal":
        return operands[tree[1]]
    if kind == "number":
        return (tree[1], tree[2])
    if kind == "item":
        count = values[tree[1]]
        return (count - tree[4], 1) if tree[2] <= count <= tree[3] else None
    if kind == "invalid":
        return None
    if kind == "if":
        condition = evaluate(tree[1], operands, values)
        if condition is None:
            return None
        return evaluate(tree[2] if condition[0] else tree[3], operands, values)
    parts = []
    for branch in tree[1:]:
        part = evaluate(branch, operands, values)
        if part is None:
            return None
        parts.append(part)
    return _apply(kind, parts)


def _apply(kind: str, parts: "list[Ratio]") -> "Ratio | None":
    first = parts[0]
    if kind == "and":
        return _TRUE if all([part[0] for part in parts]) else _FALSE
    if kind == "or":
        return _TRUE if any([part[0] for part in parts]) else _FALSE
    if kind == "not":
        return _FALSE if first[0] else _TRUE
    if kind == "negative":
        return (-first[0], first[1])
    if kind == "abs":
        return (abs(first[0]), first[1])
    if kind == "min" or kind == "max":
        for part in parts[1:]:
            smaller = part[0] * first[1] < first[0] * part[1]
            if smaller == (kind == "min"):
                first = part
        return first
    return _combine(kind, first[0], first[1], parts[1][0], parts[1][1])


def _combine(kind: str, a: int, b: int, c: int, d: int) -> "Ratio | None":
    """a/b and c/d."""
    if kind == "+":
        return (a * d + c * b, b * d)
    if kind == "-":
        return (a * d - c * b, b * d)
    if kind == "*":
        return (a * c, b * d)
    if kind == "/":
        if c == 0:
            return None
        return (a * d, b * c) if c > 0 else (-a * d, -b * c)
    difference = a * d - c * b
    if kind == "<":
        holds = difference < 0
    elif kind == "<=":
        holds = difference <= 0
    elif kind == ">":
        holds = difference > 0
    elif kind == ">=":
        holds = difference >= 0
    elif kind == "==":
        holds = difference == 0
    else:
        holds = difference != 0
    return _TRUE if holds else _FALSE
