"""Mechanical mutants of a reference answer: one small change each, as a slip of the hand would make it.

A check that is worth its name gives less than full points to every mutant, except those that an instructor has
listed as still right, with the reason.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

from lmlib.course.assignment import Variant

OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
RETURNED = {  # what becomes of a returned result: scale, sign, epsilon, dtype
    "scaled": "{} * 1.01",
    "negated": "-({})",
    "plus a little": "{} + 0.001",
    "in float64": "({}).double()",
}


@dataclass(frozen=True)
class Mutant:
    """A changed answer: the statement as it was and as it is, and the source of the whole cell."""

    was: str
    now: str
    source: str

    def is_listed(self, equivalents: list[Variant]) -> bool:
        """Whether an instructor has listed the changed statement as still right."""
        listed = {ast.unparse(node) for variant in equivalents for node in ast.parse(variant.source).body}
        return self.now in listed


def mutants(source: str) -> list[Mutant]:
    """All mutants of an answer cell's solution; texts, type hints and `raise` statements are left alone."""
    tree = ast.parse(source)
    solution = _solution_lines(source)
    places = list(_places(tree))
    found = []
    for number, node in enumerate(places):
        if getattr(node, "lineno", 0) not in solution:
            continue
        for change in range(len(_changes(node))):
            changed = copy.deepcopy(tree)
            target = list(_places(changed))[number]
            was = ast.unparse(_statement(tree, node))
            statement = _statement(changed, target)
            replacement = _changes(target)[change]
            _replace(changed, target, replacement)
            now = ast.unparse(ast.fix_missing_locations(replacement if statement is target else statement))
            mutated = ast.unparse(ast.fix_missing_locations(changed))
            if was != now:
                found.append(Mutant(was, now, mutated))
    return found


def _solution_lines(source: str) -> set[int]:
    """The numbers of the lines between ### BEGIN SOLUTION and ### END SOLUTION."""
    inside, lines = False, set()
    for number, line in enumerate(source.splitlines(), start=1):
        inside = "### BEGIN SOLUTION" in line or (inside and "### END SOLUTION" not in line)
        lines |= {number} if inside else set()
    return lines


def _places(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that can change, in a fixed order."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params") or isinstance(node, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.Import | ast.ImportFrom):
                yield child
                yield from _places(child)


def _changes(node: ast.AST) -> list[ast.AST]:
    """What can take a node's place."""
    match node:
        case ast.Constant(value=bool(value)):
            return [ast.Constant(not value)]
        case ast.Constant(value=int(value)):
            return [ast.Constant(value + 1), ast.Constant(value - 1)]
        case ast.Constant(value=float(value)):
            return [ast.Constant(value * 2), ast.Constant(-value if value else 1.0)]
        case ast.UnaryOp():
            return [node.operand]
        case ast.BinOp():
            return [*_with_operators(node), *_swapped(node), node.left]
        case ast.Compare(ops=[op]):
            kinds = OPERATORS.get(type(op), ())
            return [ast.Compare(node.left, [kind()], node.comparators) for kind in kinds]
        case ast.BoolOp():
            return [ast.BoolOp(kind(), node.values) for kind in OPERATORS[type(node.op)]]
        case ast.IfExp():
            return [node.body, node.orelse]
        case ast.Call():
            return _call_changes(node)
        case ast.Return(value=ast.expr()):
            return _return_changes(node)
        case ast.Assign() | ast.AugAssign():
            return [ast.If(ast.Constant(False), [node], [])]  # the statement left out
        case ast.If():
            return [ast.If(ast.Constant(value), node.body, node.orelse) for value in (False, True)]
    return []


def _with_operators(node: ast.BinOp) -> list[ast.AST]:
    return [ast.BinOp(node.left, kind(), node.right) for kind in OPERATORS.get(type(node.op), ())]


def _swapped(node: ast.BinOp) -> list[ast.AST]:
    asymmetric = isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.Pow)
    return [ast.BinOp(node.right, node.op, node.left)] if asymmetric else []


def _call_changes(node: ast.Call) -> list[ast.AST]:
    """A method left out, an argument left out, the first two arguments swapped."""
    changes: list[ast.AST] = []
    if isinstance(node.func, ast.Attribute) and not _is_module(node.func.value):
        changes.append(node.func.value)
    changes += [
        ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :]) for i in range(len(node.keywords))
    ]
    if len(node.args) > 1:
        changes.append(ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords))
    return changes


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "math", "F", "np")


def _return_changes(node: ast.Return) -> list[ast.AST]:
    """Each returned result scaled, negated, moved a little, or in another dtype; two results swapped."""
    if not isinstance(node.value, ast.Tuple):
        return [ast.Return(_expression(form, node.value)) for form in RETURNED.values() if node.value]
    items = node.value.elts
    changed = [
        [*items[:i], _expression(form, item), *items[i + 1 :]]
        for i, item in enumerate(items)
        for form in RETURNED.values()
    ]
    return [ast.Return(ast.Tuple(new, ast.Load())) for new in [items[::-1], *changed]]


def _expression(form: str, inner: ast.expr) -> ast.expr:
    return ast.parse(form.format(f"({ast.unparse(inner)})"), mode="eval").body


def _statement(tree: ast.AST, node: ast.AST) -> ast.AST:
    """The smallest statement around a node that is no block (of a block, its first line's expression)."""
    around = [s for s in ast.walk(tree) if isinstance(s, ast.stmt) and any(n is node for n in ast.walk(s))]
    return min(around, key=lambda s: sum(1 for _ in ast.walk(s)))


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                setattr(parent, name, [new if item is old else item for item in value])
