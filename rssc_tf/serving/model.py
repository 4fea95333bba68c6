"""The SavedModel of an export as a server sees it: a name, a version, functions of columns."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from rssc_tf.exporting.beside import check_beside
from rssc_tf.exporting.trust import read_saved_model
from rssc_tf.exporting.versions import VERSION, find_version
from rssc_tf.predict import load_saved_model, read_rule, views_of

DEFAULT = "serving_default"
EXPLAIN = "explain"
IMAGE_BYTES = "image_bytes"


class ServedModel:
    """Loads an export and runs its signatures.

    Args:
        export: export folder, or the version folder in it.
        trust, views: see `load_saved_model`.

    Attributes:
        name: of the export folder, which is the model's name in every address.
        version: the highest that there is, or the name of the version folder that was given.
        classes: names, in the order of `probabilities`.
        signatures: name to function.
        described: the signatures as TensorFlow Serving's metadata shows them (protobuf as JSON);
            kept, because the folder may be replaced.
        rule: how its training images became 8-bit RGB.
        views: of an image, that it looks at.

    Raises:
        DataError: no export there, it cannot be loaded, is not trusted, has other views, or the
            card beside it is that of another.
    """

    def __init__(self, export: Path, trust: bool = False, views: int | None = None):
        export = Path(os.path.abspath(export))  # a link has the name that it was given
        self._loaded = load_saved_model(export, trust, views)
        self.views = views_of(self._loaded)
        self.rule = read_rule(export)
        folder = find_version(export)
        if folder == export and not export.name.isdigit():
            self.name, self.version = export.name, VERSION
        else:
            self.name, self.version = folder.parent.name, folder.name
        self.signatures = dict(self._loaded.signatures)
        self.described = self._describe(folder)
        # The first call of a signature takes seconds; no client should wait for it.
        blank = self.run(DEFAULT, {IMAGE_BYTES: [b""]})
        check_beside(export, blank)
        self.classes = [name.decode() for name in blank["class_names"][0]]
        if EXPLAIN in self.signatures:
            self.run(EXPLAIN, {IMAGE_BYTES: [b""], "class_index": [0]})

    def inputs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Name to dtype and shape, of what a signature takes."""
        return self.signatures[signature].structured_input_signature[1]

    def outputs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Name to dtype and shape, of what a signature returns."""
        return self.signatures[signature].structured_outputs

    def run(self, signature: str, columns: dict[str, Sequence]) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            signature: its name.
            columns: for each input its rows, all equally many and of one shape.

        Returns:
            For each output its rows.
        """
        specs = self.inputs(signature)
        tensors = {}
        for name, rows in columns.items():
            dtype = specs[name].dtype
            # TensorFlow would take arrays in a list apart, number by number.
            stacked = rows if dtype == tf.string else np.asarray(rows, dtype.as_numpy_dtype)
            tensors[name] = tf.constant(stacked, dtype)
        answer = self.signatures[signature](**tensors)
        return {name: value.numpy() for name, value in answer.items()}

    def _describe(self, folder: Path) -> dict[str, Any]:
        stored = read_saved_model(folder)
        return {
            name: json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, definition in stored.meta_graphs[0].signature_def.items()
            if name in self.signatures
        }
