"""A SavedModel is a program: what it does is read before it runs.

Its graph may read and write files, call Python functions of the process, or open connections. So
only operations that compute (`allowed_operations.COMPUTING`) are let through. This is a list of
what is allowed, not of what is forbidden: TensorFlow has some 1,500 operations, dozens of which
touch files under names that do not say so (`PrintV2`, `ImmutableConst`, `DebugIdentity`), each
release adds some, and a library may bring its own. What the exports of all backbones use is on the
list, and the plain mathematics of other networks; for what is not, there is `trust`.

How long a graph computes and how much memory it takes is not bounded by this.
"""

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from rssc_tf.compat import saved_model_proto
from rssc_tf.exporting.allowed_operations import COMPUTING, SAVING
from tfrecords_tools.common.errors import DataError

_LARGEST = 1 << 28  # bytes of a graph; the weights are beside it

# Of the objects in it. Others load files (assets) or run code of the process (revived classes).
_OBJECTS = (
    "user_object",
    "function",
    "bare_concrete_function",
    "variable",
    "constant",
    "captured_tensor",
)
_CLASSES = ("", "tf.TrackableConstant")


def read_saved_model(folder: Path):
    """Reads `saved_model.pb` without running anything.

    Returns:
        The protobuf `SavedModel`.

    Raises:
        DataError: it is no regular file, too large, or no SavedModel.
    """
    path = folder / "saved_model.pb"
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is no regular file")
    if status.st_size > _LARGEST:
        raise DataError(f"{path} has {status.st_size:,} bytes; a graph has {_LARGEST:,} at most")
    try:
        model = saved_model_proto(path.read_bytes())
    except DecodeError:
        model = None
    if model is None or not model.meta_graphs:
        raise DataError(f"{path} is no SavedModel, or damaged: export the run again")
    return model


def check_trust(folder: Path) -> None:
    """Refuses a SavedModel that does more than computing; nothing of it is run.

    Looks at every node of the main graph and of all functions, in every meta graph, whether
    something calls it or not, and at the kinds of its objects.

    Args:
        folder: with `saved_model.pb`.

    Raises:
        DataError: what it does besides, or what it is instead.
    """
    found = sorted(set(_doubts(folder)))
    if found:
        named = ", ".join(found[:10]) + (", ..." if len(found) > 10 else "")
        raise DataError(
            f"{folder} is a program that may do more than computing: it has {named}. A file like "
            "this can read and write yours: use `trust=True` only if you know who made it"
        )


def _doubts(folder: Path) -> Iterator[str]:
    if (folder / "saved_model.cpb").exists():
        yield "a second graph, saved_model.cpb"
    for file in (*folder.glob("*.pb"), *folder.glob("variables/*")):
        if not file.is_file():
            yield f"{file.name}, which is no regular file"
    model = read_saved_model(folder)
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        yield "no object graph (TensorFlow 1)"
    for graph in model.meta_graphs:
        savers = _savers(graph)
        yield from _operations(graph.graph_def.node, COMPUTING)
        for function in graph.graph_def.library.function:
            allowed = COMPUTING
            if function.signature.name in savers:
                allowed = COMPUTING | SAVING
            yield from _operations(function.node_def, allowed)
        for node in graph.object_graph_def.nodes:
            kind = node.WhichOneof("kind")
            if kind not in _OBJECTS:
                yield f"an object of the kind {kind}"
            for name in (node.registered_name, node.registered_saver):
                if name not in _CLASSES:
                    yield f"an object of the class {name!r}"


def _operations(nodes: Iterable, allowed: frozenset[str]) -> Iterator[str]:
    return (f"the operation {node.op}" for node in nodes if node.op not in allowed)


def _savers(graph) -> set[str]:
    """Names of the functions that save and restore the variables, and that nothing else can call.

    A saver's own call is a node of the main graph, which `saver_def` names; the loaders of other
    runtimes run it. A function that anything else refers to (another node or function, an object, a
    gradient) is no such function, whatever its name, nor is one whose call something waits for.
    """
    saver, main = graph.saver_def, graph.graph_def
    named = {_node(saver.save_tensor_name), _node(saver.restore_op_name)} - {""}
    calls = [node for node in main.node if node.name in named]
    found = {name for call in calls for name in _functions(call)}

    others = [node for node in main.node if node.name not in named]
    inside = [node for function in main.library.function for node in function.node_def]
    used = {name for node in (*others, *inside) for name in _functions(node)}
    used |= set(graph.object_graph_def.concrete_functions)
    for gradient in main.library.gradient:
        used |= {gradient.function_name, gradient.gradient_func}
    used |= {gradient.gradient_func for gradient in main.library.registered_gradients}
    # Whatever waits for the call, or is answered by it, runs it.
    waited = {_node(source) for node in main.node for source in node.input}
    waited |= {
        _node(tensor.name)
        for signature in graph.signature_def.values()
        for tensor in (*signature.inputs.values(), *signature.outputs.values())
    }
    for collection in graph.collection_def.values():
        waited |= {_node(name) for name in collection.node_list.value}
    used |= {name for call in calls if call.name in waited for name in _functions(call)}
    return found - used


def _functions(node) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
