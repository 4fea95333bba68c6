"""Registers the project's Keras classes as soon as Keras is there, and not before.

`keras.models.load_model` finds a class of ours only if it is registered, and registering imports
Keras, which takes seconds that `rssc-tf --help` or `rssc_tf.Settings` need not pay. So
`import rssc_tf` waits for whoever imports Keras: one finder that steps aside after that.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder

# The modules with `register_keras_serializable`. They import nothing of this project that imports
# Keras, for Keras may be imported by one of them, which is then not whole yet.
MODULES = (
    "rssc_tf.models.class_token",
    "rssc_tf.models.logit_f1",
    "rssc_tf.models.normalization",
    "rssc_tf.models.resize",
    "rssc_tf.models.swin",
    "rssc_tf.models.vit",
    "rssc_tf.optimization.schedules",
)


def register() -> None:
    """Imports `MODULES`: now where Keras was imported before, else right after that."""
    if "keras" in sys.modules:
        _import_all()
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _import_all() -> None:
    for name in MODULES:
        import_module(name)


class _AfterKeras:
    """Finds Keras as it is found anyway, and lets `_import_all` follow its own code."""

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        if name != "keras":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module) -> None:
            sys.meta_path.remove(self)  # not before: TensorFlow asks where Keras is, and waits
            execute(module)
            _import_all()

        spec.loader.exec_module = execute_and_register
        return spec
