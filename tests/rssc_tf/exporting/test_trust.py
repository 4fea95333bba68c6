"""SavedModels that do more than computing are refused before anything of them runs."""

import shutil
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from rssc_tf.compat import saved_model_proto
from rssc_tf.exporting import allowed_operations
from rssc_tf.exporting.saved_model import Server, save
from rssc_tf.exporting.trust import check_trust
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.runs import Run, load_run
from tests.lanes import slow
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import CARD_NAME

FILES = tf.TensorSpec([None], tf.string, name="image_bytes")


def answers(images):
    """What an honest export answers, as far as `predict` looks at it."""
    count = tf.shape(images)[0]
    return {
        "probabilities": tf.ones([count, 1]),
        "class_names": tf.fill([count, 1], "river"),
        "predicted": tf.fill([count], "river"),
        "features": tf.ones([count, 2]),
        "valid": tf.ones([count], tf.bool),
    }


class InSignature(tf.Module):
    """Writes when it is asked."""

    def __init__(self, mark: str):
        super().__init__()
        self.mark = mark

    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        tf.io.write_file(self.mark, "was here")
        return answers(image_bytes)


class InBranch(InSignature):
    """Writes in a function that a function calls for some images."""

    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        def write(image):
            def spill():
                tf.io.write_file(self.mark, image)
                return image

            return tf.cond(tf.strings.length(image) > 3, spill, lambda: image)

        return answers(tf.map_fn(write, image_bytes))


class Reads(InSignature):
    """Reads a file of the machine into its answer."""

    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        found = answers(image_bytes)
        found["predicted"] = tf.fill(tf.shape(image_bytes), tf.io.read_file(self.mark))
        return found


class CallsPython(InSignature):
    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        path = self.mark

        def run(images):
            Path(path).write_text("was here")
            return images

        return answers(tf.numpy_function(run, [image_bytes], tf.string, stateful=False))


class Prints(InSignature):
    """`tf.print` writes into files, too."""

    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        tf.print("was here", output_stream=f"file://{self.mark}")
        return answers(image_bytes)


class ReadsLines(InSignature):
    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        lines = tf.data.TextLineDataset(self.mark)
        return answers(tf.concat([image_bytes, lines.batch(9).get_single_element()[:0]], 0))


class Lists(InSignature):
    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        return answers(tf.concat([image_bytes, tf.io.matching_files("/*")[:0]], 0))


class _Spill(tf.saved_model.experimental.TrackableResource):
    def __init__(self, mark: str):
        super().__init__()
        self._mark = mark

    def _create_resource(self):
        tf.io.write_file(self._mark, "was here")
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="spill")

    def _initialize(self):
        tf.io.write_file(self._mark, "was here")


class InInitializer(InSignature):
    """Writes as soon as it is loaded."""

    def __init__(self, mark: str):
        super().__init__(mark)
        self.resource = _Spill(mark)

    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        return answers(image_bytes)


class Overwrites(InSignature):
    """Saves variables where it likes."""

    @tf.function(input_signature=[FILES])
    def serve(self, image_bytes):
        tf.raw_ops.SaveV2(
            prefix=self.mark, tensor_names=["x"], shape_and_slices=[""], tensors=[tf.ones(1)]
        )
        return answers(image_bytes)


HOSTILE = {
    InSignature: "WriteFile",
    InBranch: "WriteFile",
    Reads: "ReadFile",
    CallsPython: "PyFuncStateless",
    Prints: "PrintV2",
    ReadsLines: "TextLineDataset",
    Lists: "MatchingFiles",
    InInitializer: "WriteFile",
    Overwrites: "SaveV2",
}


def hostile(kind: type, folder: Path, exported: Path) -> tuple[Path, Path]:
    """An export folder with such a graph, and the file that it touches."""
    export, mark = folder / "export", folder / "mark"
    shutil.copytree(exported, export, ignore=shutil.ignore_patterns("1"))
    module = kind(str(mark))
    if kind is Reads or kind is ReadsLines:
        mark.write_text("secret")
    tf.saved_model.save(module, str(export / "1"), {"serving_default": module.serve})
    if kind not in (Reads, ReadsLines):
        mark.unlink(missing_ok=True)
        for left in folder.glob("mark*"):
            left.unlink()
    return export, mark


@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.__name__)
def test_refused_before_it_runs(kind, tmp_path, exported, scenes, cli):
    export, _ = hostile(kind, tmp_path, exported)
    before = sorted(tmp_path.glob("mark*"))
    image = min(scenes.glob("*/*.jpg"))
    code, out, err = cli("predict", export, image)
    assert (code, out) == (1, "")
    assert HOSTILE[kind] in err and "--trust" in err and err.count("\n") == 1
    assert sorted(tmp_path.glob("mark*")) == before


@pytest.mark.parametrize("kind", [InSignature, InInitializer])
def test_trusted_graphs_run(kind, tmp_path, exported, scenes, cli):
    export, mark = hostile(kind, tmp_path, exported)
    (export / CARD_NAME).unlink()  # of the classes of another
    code, out, _ = cli("predict", export, min(scenes.glob("*/*.jpg")), "--trust")
    assert code == 0
    assert out.endswith(": river\n")
    assert mark.read_text() == "was here"


@pytest.mark.parametrize("command", ["serve", slow("bench serve"), "map"])
def test_every_command_asks(command, tmp_path, exported, scenes, cli):
    export, mark = hostile(InInitializer, tmp_path, exported)
    out = tmp_path / "map.tif"
    more = {
        "serve": (export, "--port", 0),
        "bench serve": (export, "--requests", 1),
        "map": (export, min(scenes.glob("*/*.jpg")), "--out", out),
    }
    code, _, err = cli(*command.split(), *more[command])
    assert code == 1
    assert "WriteFile" in err and "--trust" in err
    assert not mark.exists() and not out.exists()


def change(exported: Path, folder: Path) -> tuple:
    """A copy of an honest export, and its graph to be changed."""
    copy = shutil.copytree(exported / "1", folder / "1")
    return copy, saved_model_proto((copy / "saved_model.pb").read_bytes())


def refusal(copy: Path, model) -> str:
    (copy / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(DataError) as error:
        check_trust(copy)
    return str(error.value)


def saver_call(model, name: str):
    (node,) = [n for n in model.meta_graphs[0].graph_def.node if n.name == name]
    return node


def test_an_honest_export_is_trusted(exported):
    check_trust(exported / "1")


@pytest.mark.parametrize("how", ["signature", "input", "control", "init", "function", "object"])
def test_the_savers_functions_are_for_the_saver_only(exported, tmp_path, how):
    copy, model = change(exported, tmp_path)
    (graph,) = model.meta_graphs
    call = saver_call(model, graph.saver_def.restore_op_name)
    function = call.attr["f"].func.name
    if how == "signature":
        graph.signature_def["serving_default"].outputs["valid"].name = f"{call.name}:0"
    elif how in ("input", "control"):
        node = graph.graph_def.node.add(name="more", op="Identity" if how == "input" else "NoOp")
        node.input.append(call.name if how == "input" else f"^{call.name}")
    elif how == "init":
        graph.collection_def["saved_model_main_op"].node_list.value[:] = [call.name]
    elif how == "function":
        inside = graph.graph_def.library.function[0].node_def.add()
        inside.CopyFrom(call)
        inside.name = "restore_again"
    else:
        graph.object_graph_def.concrete_functions[function].bound_inputs[:] = []
    assert "RestoreV2" in refusal(copy, model)


def test_a_saver_cannot_do_anything_else(exported, tmp_path):
    copy, model = change(exported, tmp_path)
    (graph,) = model.meta_graphs
    name = saver_call(model, graph.saver_def.restore_op_name).attr["f"].func.name
    (restore,) = [f for f in graph.graph_def.library.function if f.signature.name == name]
    restore.node_def.add(name="spill", op="WriteFile")
    assert "WriteFile" in refusal(copy, model)


def test_a_function_of_a_harmless_name(exported, tmp_path):
    # A call by the function's own name as the operation; TensorFlow looks there first.
    copy, model = change(exported, tmp_path)
    library = model.meta_graphs[0].graph_def.library
    library.function.add().signature.name = "Spill"
    library.function[0].node_def.add(name="call", op="Spill")
    assert "Spill" in refusal(copy, model)


def test_other_graphs_in_the_folder(exported, tmp_path):
    copy, model = change(exported, tmp_path)
    second = model.meta_graphs.add()
    second.graph_def.node.add(name="read", op="ReadFile")
    assert "ReadFile" in refusal(copy, model)
    del model.meta_graphs[1]
    (copy / "saved_model.cpb").touch()
    assert "saved_model.cpb" in refusal(copy, model)


def test_no_saved_model_and_no_regular_file(exported, tmp_path):
    copy, _ = change(exported, tmp_path)
    path = copy / "saved_model.pb"
    for damaged in (b"\xff" * 100, b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="no SavedModel"):
            check_trust(copy)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="no regular file"):
        check_trust(copy)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(DataError, match="17,179,869,184 bytes"):
        check_trust(copy)


def test_every_name_on_the_list_is_an_operation():
    known = set(dir(tf.raw_ops))
    assert allowed_operations.COMPUTING - known == set()
    # Known to touch files, or to call what is not in the graph.
    for word in (
        "File",
        "Save",
        "Restore",
        "PyFunc",
        "Print",
        "Reader",
        "Record",
        "Remote",
        "Host",
    ):
        assert not [name for name in allowed_operations.COMPUTING if word in name]


@pytest.mark.slow
def test_what_exports_of_all_backbones_use_is_on_the_list(trained, tmp_path):
    run = load_run(trained)
    for name, backbone in BACKBONES.items():
        parts = backbone.build(False), backbone.normalization()
        model = build_classifier(*parts, len(run.card.classes), 64)
        server = Server(Run(run.folder, run.config, run.card, model))
        used = set()
        for function in server.signatures.values():
            graph = function.get_concrete_function().graph.as_graph_def()
            used |= {node.op for node in graph.node}
            used |= {node.op for f in graph.library.function for node in f.node_def}
        assert used - allowed_operations.COMPUTING == set(), name


def test_a_transformer_is_trusted(trained, tmp_path):
    run = load_run(trained)
    inputs = keras.Input((32, 32, 3))
    tokens = keras.layers.Reshape((-1, 8))(keras.layers.Conv2D(8, 8, strides=8)(inputs))
    tokens += keras.layers.MultiHeadAttention(2, 4)(
        keras.layers.LayerNormalization()(tokens), tokens
    )
    tokens = keras.layers.Dense(8, "gelu")(keras.layers.GroupNormalization(2)(tokens))
    backbone = keras.Model(inputs, tokens)
    model = build_classifier(backbone, Normalization.from_mode("unit"), 4, 32)
    save(Run(run.folder, run.config, run.card, model), tmp_path / "1")
    check_trust(tmp_path / "1")
