"""Where a module can be broken: small changes to its code, found in its syntax tree.

Docstrings, annotations, decorators, messages (f-strings and all that is raised), logging,
``__all__`` and ``__repr__`` are left alone: no behaviour that a user would miss hangs on them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
CALLS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "floor": "ceil",
    "ceil": "floor",
    "sorted": "list",
}
LOGGING = {"debug", "info", "warning", "warn", "error", "exception", "print", "log"}
ANNOTATIONS = ("annotation", "returns", "decorator_list", "type_params")


@dataclass(frozen=True, order=True)
class Site:
    """One change: the bytes ``start`` to ``end`` of a module's text become ``now``."""

    start: int
    end: int
    line: int
    kind: str
    was: str
    now: str

    def applied(self, text: str) -> str:
        """Return the module's text with this change made.

        Raises:
            ValueError: the text at that place is another.
        """
        raw = text.encode()
        if raw[self.start : self.end].decode() != self.was:
            raise ValueError(f"line {self.line} does not hold {self.was!r}")
        return (raw[: self.start] + self.now.encode() + raw[self.end :]).decode()


def sites(text: str) -> list[Site]:
    """Return every change that can be made to a module's text, in the text's order."""
    lines = [0]
    for line in text.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = []
    for node in _code(ast.parse(text)):
        for kind, changed, now in _changes(node):
            start = lines[changed.lineno - 1] + changed.col_offset
            end = lines[changed.end_lineno - 1] + changed.end_col_offset
            was = text.encode()[start:end].decode()
            if was != now:
                found.append(Site(start, end, changed.lineno, kind, was, now))
    return sorted(set(found))


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below ``node`` that are code which can be broken."""
    for name, value in ast.iter_fields(node):
        if name in ANNOTATIONS:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_text(child):
                yield child
                if not isinstance(child, ast.Raise):
                    yield from _code(child)


def _is_text(node: ast.AST) -> bool:
    """Whether it is for people only: a docstring, a message, logging, a representation."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or _is_logging(node.value)
    if isinstance(node, ast.Assign):
        return any(isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets)
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__")
    )


def _is_logging(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) in LOGGING


def _name(function: ast.AST) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """Yield (kind, the node that is replaced, its new text)."""
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            other = copy.deepcopy(node)
            other.ops[number] = COMPARISONS[type(operator)]()
            yield "comparison", node, f"({ast.unparse(other)})"
    elif isinstance(node, ast.BoolOp):
        other = copy.deepcopy(node)
        other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "boolean", node, f"({ast.unparse(other)})"
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        yield from _arithmetic(node)
    elif isinstance(node, ast.UnaryOp):
        yield "sign", node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant):
        yield from _constant(node)
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, ast.keyword):
        if node.arg == "axis":
            yield "axis", node.value, "0" if ast.unparse(node.value) != "0" else "1"
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        yield from _slice(node.slice)
    else:
        yield from _statement(node)


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[tuple[str, ast.AST, str]]:
    """Another operator; what joins texts or types is left alone."""
    sides = [node.value] if isinstance(node, ast.AugAssign) else [node.left, node.right]
    words = any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str | None))
        for side in sides
    )
    if type(node.op) in ARITHMETIC and not words:
        other = copy.deepcopy(node)
        other.op = ARITHMETIC[type(node.op)]()
        text = ast.unparse(other)
        yield "arithmetic", node, text if isinstance(node, ast.AugAssign) else f"({text})"


def _constant(node: ast.Constant) -> Iterator[tuple[str, ast.AST, str]]:
    if isinstance(node.value, bool):
        yield "constant", node, str(not node.value)
    elif isinstance(node.value, int | float):
        yield "constant", node, repr(node.value + 1)


def _call(node: ast.Call) -> Iterator[tuple[str, ast.AST, str]]:
    name = _name(node.func)
    if name in CALLS and not (name == "sorted" and node.keywords):
        other = copy.deepcopy(node)
        if isinstance(other.func, ast.Attribute):
            other.func.attr = CALLS[name]
        else:
            other.func = ast.Name(CALLS[name])
        yield "call", node, ast.unparse(other)


def _slice(node: ast.Slice) -> Iterator[tuple[str, ast.AST, str]]:
    for part in ("lower", "upper", "step"):
        if getattr(node, part) is not None:
            other = copy.deepcopy(node)
            setattr(other, part, None)
            yield "slice", node, ast.unparse(other)


def _statement(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    if isinstance(node, ast.Raise):
        yield "removed raise", node, "pass"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "removed call", node, "pass"
    elif isinstance(node, ast.Continue | ast.Break):
        yield "jump", node, "break" if isinstance(node, ast.Continue) else "continue"
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        plain = isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        if plain:
            yield "condition", node.test, f"(not {ast.unparse(node.test)})"
    elif isinstance(node, ast.comprehension):
        for condition in node.ifs:
            yield "filter", condition, "True"
