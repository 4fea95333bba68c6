"""Who imports whom: packages downwards only, and their parts in one order, without cycles.

A part is a sub-package of one of the three packages, or a module beside these. Imports inside
functions count, those for type checkers do not.
"""

import ast
from pathlib import Path

from tests.conftest import ROOT

PACKAGES = ("tfrecords_tools", "pipelines", "rssc_tf")  # each imports those before it
# The parts of rssc_tf, each imports those before it only. `library` is the surface of `__init__`,
# `cli` the command line.
PARTS = (
    *("version", "compat", "registration", "cache", "environment"),
    *("literal_paths", "write_errors", "models"),
    *(
        "tasks",
        "optimization",
        "regimes",
        "fields",
        "settings",
        "settings_file",
        "rounds",
        "keys",
        "weights",
    ),
    *("records", "evaluation", "runs", "probing", "self_supervised", "training", "exporting"),
    "predict",
    *(
        "comparison",
        "ranking",
        "doctor",
        "scene_map",
        "serving",
        "library",
        "demo",
        "bench",
        "cli",
        "__main__",
    ),
)


def _modules(package: str) -> dict[str, Path]:
    files = (ROOT / package).rglob("*.py")
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def _imports(text: str) -> set[str]:
    """Names that a module imports of ours, deep inside too."""
    tree, found = ast.parse(text), set()
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES}


def _part(module: str) -> str:
    """`rssc_tf.training.loop.train` -> `training`; of a package itself an empty text."""
    return (module.split(".") + [""])[1]


def _edges(package: str) -> dict[tuple[str, str], list[str]]:
    """Pairs of parts of a package to the modules because of which one imports the other."""
    edges: dict[tuple[str, str], list[str]] = {}
    for name, file in _modules(package).items():
        for found in _imports(file.read_text(encoding="utf-8")):
            if found.split(".")[0] == package and _part(found) != _part(name):
                edges.setdefault((_part(name), _part(found)), []).append(f"{name} -> {found}")
    return edges


def test_packages_import_downwards_only():
    for number, package in enumerate(PACKAGES):
        for name, file in _modules(package).items():
            for found in _imports(file.read_text(encoding="utf-8")):
                assert found.split(".")[0] in PACKAGES[: number + 1], f"{name} imports {found}"


def test_no_two_parts_import_each_other():
    for package in PACKAGES:
        edges = _edges(package)
        both = {pair: edges[pair] + edges[pair[::-1]] for pair in edges if pair[::-1] in edges}
        assert both == {}


def test_the_parts_of_rssc_tf_have_an_order():
    for (upper, lower), why in _edges("rssc_tf").items():
        if "" not in (upper, lower):  # the package itself names those of its surface
            assert PARTS.index(lower) < PARTS.index(upper), why
    present = {_part(name) for name in _modules("rssc_tf")} - {""}
    assert present == set(PARTS)


def test_the_order_stands_in_contributing():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    order = page.partition("Inside `rssc_tf` the order is: ")[2].partition(";")[0]
    assert tuple(part.strip("`") for part in order.split()) == PARTS


def test_an_import_inside_a_function_is_found():
    text = """
if TYPE_CHECKING:
    import rssc_tf.serving
def f():
    from rssc_tf.cli import main
"""
    assert _imports(text) == {"rssc_tf.cli.main"}
