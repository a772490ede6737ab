"""The stated family of realistic ways to make a Python function body worse.

Every kind is one generator: it reads a parsed body and yields the places where it can act, each a
list of edits of the original characters. Nothing is re-printed from the syntax tree, so a degraded
body keeps the comments, line breaks and quotes of the real one, and the flaw alone differs.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from numpy.random import RandomState

from sklearn_codex.datasets._function_body import FORMATTED_STRINGS, Edit, FunctionBody, parse

Places = Iterator[list[Edit]]
FindPlaces = Callable[[FunctionBody], Places]

SIMPLE_STATEMENTS = (ast.Assign, ast.AugAssign, ast.Expr)

# For each operator, the pattern of its source and what it is exchanged for.
COMPARISONS = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", ">"),
    ast.Gt: (">", "<"),
    ast.LtE: ("<=", ">="),
    ast.GtE: (">=", "<="),
    ast.In: (r"\bin\b", "not in"),
    ast.NotIn: (r"\bnot\s+in\b", "in"),
}
IDENTITIES = {ast.Is: (r"\bis\b", "=="), ast.IsNot: (r"\bis\s+not\b", "!=")}
ARITHMETIC = {
    ast.Add: (r"\+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: (r"\*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "/"),
}
CONNECTIVES = {ast.And: (r"\band\b", "or"), ast.Or: (r"\bor\b", "and")}

EMPTY_CONTAINERS = ("[]", "{}", "list()", "dict()", "set()")
BUILTIN_NAMES = (
    "dict",
    "id",
    "input",
    "list",
    "max",
    "min",
    "next",
    "object",
    "str",
    "sum",
    "type",
)
SECRET_NAMES = ("api_key", "password", "secret", "token")


@dataclass(frozen=True)
class Degradation:
    """One kind of flaw: what it is called, what it costs and where it can be put.

    Parameters
    ----------
    name : str
        Name of the kind.
    severity : float
        The utility that a body loses by it: the Bradley-Terry margin, in nats of log-odds at
        temperature 1, by which the real body is preferred.
    description : str
        What is done to the code, in one sentence.
    find_places : callable
        Generator over the places of a `FunctionBody` where this kind can act.
    """

    name: str
    severity: float
    description: str
    find_places: FindPlaces

    def apply(self, body: FunctionBody, random_state: RandomState) -> str | None:
        """Return `body` degraded at one place drawn at random, None where no place is found."""
        places = list(self.find_places(body))
        for place in random_state.permutation(len(places)):
            degraded = body.edited(places[place])
            if degraded != body.text and _parses(degraded):
                return degraded
        return None


DEGRADATIONS: dict[str, Degradation] = {}


def _degradation(severity: float, description: str) -> Callable[[FindPlaces], FindPlaces]:
    """Enter a generator of places in the family, under the name of the function."""

    def register(find_places: FindPlaces) -> FindPlaces:
        name = find_places.__name__.lstrip("_")
        DEGRADATIONS[name] = Degradation(name, severity, description, find_places)
        return find_places

    return register


def _parses(text: str) -> bool:
    try:
        return bool(parse(text).body)
    except SyntaxError:
        return False


def _swap_operator(
    body: FunctionBody, left: ast.expr, operator: ast.AST, right: ast.expr, table: dict
) -> Places:
    """Exchange the operator between two operands; it has no position of its own in the tree."""
    if type(operator) not in table:
        return
    pattern, replacement = table[type(operator)]
    start, end = body.span(left)[1], body.span(right)[0]
    between = body.text[start:end]
    if "#" not in between and (match := re.search(pattern, between)):
        yield [Edit(start + match.start(), start + match.end(), replacement)]


def _insert_before(body: FunctionBody, statement: ast.stmt, line: str) -> Places:
    if span := body.line_span(statement):
        yield [Edit(span[0], span[0], f"{' ' * statement.col_offset}{line}\n")]


def _insert_after(body: FunctionBody, statement: ast.stmt, line: str) -> Places:
    if span := body.line_span(statement):
        yield [Edit(span[1], span[1], f"\n{' ' * statement.col_offset}{line}")]


def _delete(body: FunctionBody, block: list[ast.stmt], statement: ast.stmt) -> Places:
    """Delete the lines of a statement, where its block keeps another one."""
    span = body.line_span(statement)
    if span and len(block) > 1:
        yield [Edit(span[0], span[1] + 1, "")]


def _negated(body: FunctionBody, condition: ast.expr) -> str:
    """Return the source of a condition without its `not`, or with one."""
    text = body.source(condition)
    if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        return text.removeprefix("not").lstrip()
    if isinstance(condition, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
        return f"not {text}"
    return f"not ({text})"


def _quotable(text: str) -> bool:
    """Whether a piece of code can stand between double quotes as it is."""
    return len(text) <= 60 and not re.search(r"[\"'\\\n]|\b(await|yield)\b|:=", text)


@_degradation(2.5, "A comparison is exchanged for another one: `<` for `>`, `==` for `!=`.")
def _swapped_comparison(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            right = node.comparators[0]
            yield from _swap_operator(body, node.left, node.ops[0], right, COMPARISONS)


@_degradation(2.5, "An arithmetic operator is exchanged for another one: `+` for `-`.")
def _swapped_arithmetic(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.BinOp) and not isinstance(node.left, (ast.Constant, ast.JoinedStr)):
            yield from _swap_operator(body, node.left, node.op, node.right, ARITHMETIC)
        elif isinstance(node, ast.AugAssign):
            yield from _swap_operator(body, node.target, node.op, node.value, ARITHMETIC)


@_degradation(2.5, "`and` is exchanged for `or`, or `or` for `and`.")
def _swapped_connective(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.BoolOp) and len(node.values) == 2:
            left, right = node.values
            yield from _swap_operator(body, left, node.op, right, CONNECTIVES)


@_degradation(3.0, "The condition of an `if` or a `while` loses its `not`, or gains one.")
def _negated_condition(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, (ast.If, ast.While)):
            yield [Edit(*body.span(node.test), _negated(body, node.test))]


@_degradation(2.0, "An integer constant is one too great or one too small.")
def _off_by_one(body: FunctionBody) -> Places:
    for node in body.nodes:
        if not isinstance(node, ast.Constant):
            continue
        value = node.value
        if type(value) is int and body.source(node) == str(value):
            yield [Edit(*body.span(node), str(value + 1))]
            if value > 0:
                yield [Edit(*body.span(node), str(value - 1))]


@_degradation(2.0, "A constant `True` becomes `False`, or the other way round.")
def _flipped_flag(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.Constant) and type(node.value) is bool:
            yield [Edit(*body.span(node), str(not node.value))]


@_degradation(0.5, "`is None` becomes `== None`, and `is not None` becomes `!= None`.")
def _equals_none(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            right = node.comparators[0]
            if isinstance(right, ast.Constant) and right.value is None:
                yield from _swap_operator(body, node.left, node.ops[0], right, IDENTITIES)


@_degradation(1.0, "`isinstance(x, T)` becomes `type(x) == T`, which subclasses fail.")
def _type_equality(body: FunctionBody) -> Places:
    for node in body.nodes:
        if not isinstance(node, ast.Call) or body.source(node.func) != "isinstance":
            continue
        if len(node.args) == 2 and isinstance(node.args[1], (ast.Name, ast.Attribute)):
            value, kind = map(body.source, node.args)
            yield [Edit(*body.span(node), f"type({value}) == {kind}")]


@_degradation(3.5, "A value that was returned is only computed, and lost.")
def _dropped_return(body: FunctionBody) -> Places:
    for node in body.statements:
        if isinstance(node, ast.Return) and node.value:
            yield [Edit(body.span(node)[0], body.span(node.value)[0], "")]


@_degradation(2.5, "The `else` or `elif` part of an `if` is missing.")
def _dropped_branch(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.If) and node.orelse:
            yield [Edit(body.span(node.body[-1])[1], body.span(node)[1], "")]


@_degradation(2.5, "A call made for its effect is missing.")
def _dropped_call(body: FunctionBody) -> Places:
    for block in body.blocks:
        for node in block:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                yield from _delete(body, block, node)


@_degradation(4.0, "The body stops half-way with `raise NotImplementedError`.")
def _unfinished(body: FunctionBody) -> Places:
    for node in body.tree.body[1:]:
        if body.line_span(node):
            yield [Edit(body.span(node)[0], len(body.text), "raise NotImplementedError")]


@_degradation(2.5, "A guard clause, an `if` that raises or returns early, is missing.")
def _removed_guard(body: FunctionBody) -> Places:
    for block in body.blocks:
        for node in block:
            last = node.body[-1] if isinstance(node, ast.If) and not node.orelse else None
            if isinstance(last, (ast.Raise, ast.Return)):
                yield from _delete(body, block, node)


@_degradation(1.0, "A check that raised an error becomes an `assert`, which `python -O` removes.")
def _assert_validation(body: FunctionBody) -> Places:
    for node in body.nodes:
        if not isinstance(node, ast.If) or node.orelse or body.source(node).startswith("elif"):
            continue
        if len(node.body) == 1 and isinstance(node.body[0], ast.Raise):
            yield [Edit(*body.span(node), f"assert {_negated(body, node.test)}")]


@_degradation(2.5, "An `except` clause no longer says which exceptions it is for.")
def _bare_except(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.Try) and node.handlers and node.handlers[-1].type:
            handler, kind = node.handlers[-1], node.handlers[-1].type
            used = {n.id for s in handler.body for n in ast.walk(s) if isinstance(n, ast.Name)}
            if handler.name not in used:
                start = body.span(handler)[0] + len("except")
                yield [Edit(start, body.text.index(":", body.span(kind)[1]), "")]


@_degradation(3.0, "What was done about an exception becomes `pass`.")
def _swallowed_exception(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.ExceptHandler):
            yield [Edit(body.span(node.body[0])[0], body.span(node.body[-1])[1], "pass")]


@_degradation(3.0, "The whole body stands in a `try` that silently ignores every exception.")
def _blanket_except(body: FunctionBody) -> Places:
    strings = (n for n in body.nodes if isinstance(n, (ast.Constant, FORMATTED_STRINGS)))
    if all(len(body.source(node).splitlines()) == 1 for node in strings):
        indented = re.sub(r"(?m)^(?=.)", "    ", body.text)
        yield [Edit(0, len(body.text), f"try:\n{indented}\nexcept Exception:\n    pass")]


@_degradation(2.0, "A fresh container is kept between calls, as a mutable default keeps it.")
def _mutable_default(body: FunctionBody) -> Places:
    for node in body.statements:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = body.source(node.value)
            if value in EMPTY_CONTAINERS:
                kept = f'globals().setdefault("{node.targets[0].id}", {value})'
                yield [Edit(*body.span(node.value), kept)]


@_degradation(1.0, "A local variable takes the name of a builtin.")
def _shadowed_builtin(body: FunctionBody) -> Places:
    for old in body.local_names:
        uses = [node for node in body.nodes if isinstance(node, ast.Name) and node.id == old]
        for new in BUILTIN_NAMES:
            if new not in body.words:
                yield [Edit(*body.span(node), new) for node in uses]


@_degradation(2.0, "A local variable is declared `global`.")
def _global_state(body: FunctionBody) -> Places:
    if not any(isinstance(node, ast.Nonlocal) for node in body.nodes):
        for name in body.local_names:
            yield from _insert_before(body, body.tree.body[0], f"global {name}")


@_degradation(1.0, "A statement is repeated after a `return` or a `raise`, and never reached.")
def _dead_code(body: FunctionBody) -> Places:
    if any(isinstance(node, (ast.Global, ast.Nonlocal)) for node in body.nodes):
        return  # a use before the declaration would be a syntax error
    simple = [node for node in body.statements if isinstance(node, SIMPLE_STATEMENTS)]
    lines = [body.source(node) for node in simple if node.lineno == node.end_lineno]
    for block in body.blocks:
        if isinstance(block[-1], (ast.Return, ast.Raise)):
            for line in lines:
                yield from _insert_after(body, block[-1], line)


@_degradation(1.5, "A `print` of a local variable is left behind.")
def _debug_print(body: FunctionBody) -> Places:
    for name in sorted(body.parameters):
        yield from _insert_before(body, body.tree.body[0], f'print("DEBUG", {name})')
    for node in body.statements:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield from _insert_after(body, node, f'print("DEBUG", {node.targets[0].id})')


@_degradation(4.0, "An expression goes through `eval` as a string, or `eval` converts a value.")
def _unsafe_eval(body: FunctionBody) -> Places:
    for node in body.nodes:
        if isinstance(node, ast.Call) and body.source(node.func) in ("int", "float"):
            yield [Edit(*body.span(node.func), "eval")]
        elif isinstance(node, (ast.Assign, ast.Return)) and node.value:
            text = body.source(node.value)
            if not isinstance(node.value, (ast.Constant, ast.Tuple)) and _quotable(text):
                yield [Edit(*body.span(node.value), f'eval("{text}")')]


@_degradation(4.0, "A statement goes through `exec` as a string.")
def _unsafe_exec(body: FunctionBody) -> Places:
    for node in body.statements:
        if isinstance(node, SIMPLE_STATEMENTS) and _quotable(body.source(node)):
            yield [Edit(*body.span(node), f'exec("{body.source(node)}")')]


@_degradation(3.5, "A credential is written into the code.")
def _hardcoded_secret(body: FunctionBody) -> Places:
    for name in SECRET_NAMES:
        if name not in body.words:
            yield from _insert_before(body, body.tree.body[0], f'{name} = "changeme"')
