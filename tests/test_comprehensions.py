"""No comprehension's variable has the name of what its function takes from outside.

Up to Python 3.11 a comprehension is a function of its own. Since Python 3.12 it runs in the frame
of the function around it (PEP 709). Where one comprehension binds a name and another one takes that
name from outside, the other may find the function's unset variable (UnboundLocalError): with
globals in 3.12.0 to 3.12.3 (python/cpython#118513), with variables of an enclosing function in
every version since 3.12.0 (python/cpython#156664).
"""

import ast
import dis
import inspect
from collections.abc import Iterator
from types import CodeType

import pytest

from tests.conftest import ROOT
from tests.test_imports import PACKAGES


class _AsGenerators(ast.NodeTransformer):
    """Comprehensions as generator expressions, which are functions of their own in every Python."""

    def visit_ListComp(self, node):
        self.generic_visit(node)
        return ast.copy_location(ast.GeneratorExp(node.elt, node.generators), node)

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node):
        self.generic_visit(node)
        pair = ast.copy_location(ast.Tuple([node.key, node.value], ast.Load()), node)
        return ast.copy_location(ast.GeneratorExp(pair, node.generators), node)


def _inside(code: CodeType, name: str = "") -> Iterator[CodeType]:
    """The functions, or those of a name, in a function and in one another."""
    for one in code.co_consts:
        if isinstance(one, CodeType) and name in ("", one.co_name):
            yield one
            yield from _inside(one, name)


def _hidden(text: str) -> dict[str, set[str]]:
    """Functions of a module to the names from outside that their comprehensions bind as well."""
    tree = _AsGenerators().visit(ast.parse(text))
    found = {}
    for function in _inside(compile(tree, "module", "exec")):
        if not function.co_flags & inspect.CO_OPTIMIZED:
            continue  # the body of a class: its names are looked up as those of a module
        comprehensions = list(_inside(function, "<genexpr>"))
        bound = {name for one in comprehensions for name in one.co_varnames + one.co_cellvars}
        looked_up = {name for one in (function, *comprehensions) for name in one.co_names}
        if not bound & (looked_up | set(function.co_freevars)):
            continue  # disassembling takes long
        outside = set(function.co_freevars) | {
            step.argval
            for one in (function, *comprehensions)
            for step in dis.get_instructions(one)
            if step.opname == "LOAD_GLOBAL"
        }
        if both := bound & outside:
            found[f"{function.co_qualname}, line {function.co_firstlineno}"] = both
    return found


@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # [...][0] of a list, `generator[0]` is not
def test_no_comprehension_hides_a_name_from_outside():
    files = [file for folder in (*PACKAGES, "tests") for file in (ROOT / folder).rglob("*.py")]
    found = {str(file.relative_to(ROOT)): _hidden(file.read_text("utf-8")) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("[name for name in rows], [name(row) for row in rows]", {"name"}),
        ("{name: 0 for row in rows for name in row}, {name(row) for row in rows}", {"name"}),
        ("[[name for name in row] for row in rows], [name(row) for row in rows]", {"name"}),
        ("[outer for outer in rows], [outer for row in rows]", {"outer"}),
        ("[one for one in rows], [name(one) for one in rows]", set()),
        ("[[name(one, row) for one in row] for row in rows]", set()),
        ("[inner for inner in rows], [inner for row in rows]", set()),
    ],
)
def test_a_hidden_name_is_found(body, names):
    text = f"""
def enclosing(outer):
    def function(rows, inner):
        return {body}
"""
    found = _hidden(text)
    assert found == ({"enclosing.<locals>.function, line 3": names} if names else {})
