"""Expressions of a mapping: what they give, exactly, and what they refuse."""

import ast
import operator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.expression import evaluate
from agent.mapping.expression import ExpressionError, parse_expression

SIGNALS = ("a.m.x", "a.m.y", "a.0x112.z")


def signal(reference: str) -> int:
    if reference not in SIGNALS:
        raise LookupError(f"no signal {reference}")
    return SIGNALS.index(reference)


def result(
    text: str, *operands: "Fraction | int | None", words: "dict[str, Fraction] | None" = None
) -> "Fraction | None":
    tree = parse_expression(text, signal, words or {})
    ratios: list[Any] = [None if one is None else Fraction(one).as_integer_ratio() for one in operands]
    value = evaluate(tree, ratios, [])
    return None if value is None else Fraction(*value)


numbers = st.fractions(max_denominator=1000, min_value=-(10**6), max_value=10**6)
leaves = st.sampled_from(["a.m.x", "a.m.y", "0.1", "3", "1e-3", "0"])
binary = st.sampled_from(["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!="])


def bigger(parts: "st.SearchStrategy[str]") -> "st.SearchStrategy[str]":
    return (
        st.builds("({} {} {})".format, parts, binary, parts)
        | st.builds("({} if {} else {})".format, parts, parts, parts)
        | st.builds("({} {} {})".format, parts, st.sampled_from(["and", "or"]), parts)
        | st.builds("(not {})".format, parts)
        | st.builds("(-{})".format, parts)
        | st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), parts, parts)
        | st.builds("abs({})".format, parts)
    )


class Exact(ast.NodeTransformer):
    """Literals as fractions, truth as 1 and 0: what the text means, by Python itself."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.parse(f"Fraction({ast.unparse(node)!r})", mode="eval").body

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("Fraction", ast.Load()), [node], [])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("Fraction", ast.Load()), [node], []) if isinstance(node.op, ast.Not) else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        name = "both" if isinstance(node.op, ast.And) else "either"
        return ast.Call(ast.Name(name, ast.Load()), node.values, [])


@given(text=st.recursive(leaves, bigger, max_leaves=12), x=numbers, y=numbers)
def test_an_expression_gives_what_python_gives_with_fractions(text: str, x: Fraction, y: Fraction) -> None:
    plain = ast.parse(text.replace("a.m.x", "x").replace("a.m.y", "y"), mode="eval")
    program = compile(ast.fix_missing_locations(Exact().visit(plain)), "text", "eval")
    names = {
        "x": x,
        "y": y,
        "Fraction": Fraction,
        "both": lambda *parts: Fraction(all(parts)),
        "either": lambda *parts: Fraction(any(parts)),
        "min": min,
        "max": max,
        "abs": abs,
    }
    try:
        expected = eval(program, {"__builtins__": {}}, names)  # noqa: S307 - the text is our own
    except ZeroDivisionError:
        assert result(text, x, y) is None
    else:
        assert result(text, x, y) == expected


@pytest.mark.parametrize("x", [0, Fraction(-1, 3), 2])
@pytest.mark.parametrize("y", [0, Fraction(-1, 3), 2])
def test_and_or_and_not_are_one_or_nothing(x: Fraction, y: Fraction) -> None:
    assert result("a.m.x and a.m.y", x, y) == bool(x and y)
    assert result("a.m.x or a.m.y", x, y) == bool(x or y)
    assert result("not a.m.x", x) == (not x)


@pytest.mark.parametrize("x", [Fraction(-1, 3), 0, Fraction(1, 3)])
@pytest.mark.parametrize("y", [Fraction(-1, 3), 0, Fraction(1, 3)])
@pytest.mark.parametrize(
    ("sign", "holds"),
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }.items(),
)
def test_a_comparison_is_one_or_nothing(sign: str, holds: Any, x: Fraction, y: Fraction) -> None:
    assert result(f"a.m.x {sign} a.m.y", x, y) == holds(x, y)


def test_an_item_of_the_same_sample_is_known_within_its_range() -> None:
    tree = ["+", ["item", 1, 0, 250, 40], ["number", 1, 2]]
    assert [evaluate(tree, [], [0, count]) for count in (0, 250, 251, -1)] == [(-79, 2), (421, 2), None, None]


@pytest.mark.parametrize(
    ("x", "y", "smaller"), [(1, 2, 1), (2, 1, 1), (Fraction(-1, 2), Fraction(-1, 3), Fraction(-1, 2))]
)
def test_min_and_max_compare_ratios_not_their_parts(x: Fraction, y: Fraction, smaller: Fraction) -> None:
    assert result("min(a.m.x, a.m.y)", x, y) == smaller
    assert result("max(a.m.x, a.m.y)", x, y) == x + y - smaller
    assert (result("abs(a.m.x)", x), result("-a.m.x", x), result("not a.m.x", x)) == (abs(x), -x, 0)


@pytest.mark.parametrize(
    "text", ["a.m.x + 1", "a.m.x and 0", "1 or a.m.x", "min(1, a.m.x)", "2 if a.m.x else 3", "not a.m.x"]
)
def test_an_operand_that_is_not_known_makes_the_result_unknown(text: str) -> None:
    assert result(text, None, 1) is None


def test_a_conditional_needs_only_the_branch_it_takes() -> None:
    assert result("a.m.y if a.m.y > 0 else a.m.x", None, 5) == 5
    assert result("a.m.x if a.m.y > 0 else 7", None, 5) is None


def test_division_by_zero_is_unknown() -> None:
    assert result("1 / (a.m.x - 3)", 3) is None


def test_invalid_is_a_value_that_is_not_available() -> None:
    assert result("invalid if a.m.x == 255 else a.m.x", 255) is None
    assert result("invalid if a.m.x == 255 else a.m.x", 254) == 254


def test_decimals_are_read_as_written() -> None:
    assert result("0.1 + 0.2 == 0.3") == 1
    assert result("1_000.5e-3") == Fraction("1.0005")


def test_a_word_is_a_result_and_a_message_may_be_named_by_identifier() -> None:
    words = {"off": Fraction(2), "started": Fraction(1)}
    assert result('"started" if a.0x112.z else "off"', None, None, 1, words=words) == 1
    assert result("'started' if a.0x112.z else 'off'", None, None, 0, words=words) == 2


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("a.m.x +", 8, "not an expression"),
        ("a.m.x ** 2", 1, "not allowed"),
        ("3 + a.m.q", 5, "no signal a.m.q"),
        ("speed * 2", 1, "speed is not a signal"),
        ('1 + "off"', 5, "may only be a result"),
        ('"on"', 1, 'unknown word "on"'),
        ("a.m.x + __import__('os')", 9, "not allowed"),
        ("[1 for i in 2]", 1, "not allowed"),
        ("(lambda: 1)()", 1, "not allowed"),
        ("a.m.x.real", 1, "not allowed"),
        ("1 < 2 in 3", 1, "comparison not allowed"),
        ("max(1)", 1, "two values"),
        ("abs(1, 2)", 1, "one value"),
        ("1j", 1, "not allowed"),
        ("", 1, "not an expression"),
        ("1;2", 2, "not an expression"),
        ("-" * 40 + "1", 26, "nested deeper"),
        ("1+" * 600 + "1", 1000, "longer than"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_column(text: str, column: int, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        result(text, words={"off": Fraction(1)})
    assert reason in str(caught.value)
    assert caught.value.column == column
