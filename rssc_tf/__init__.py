"""Which pre-training gives the best classifier for your overhead photographs?

Everything to build on is here, see docs/api.md. A name is imported when it is first used, so that
`import rssc_tf` takes no time; TensorFlow comes with the first name that needs it, without its
start-up messages. After `import rssc_tf`, `keras.models.load_model` reads the model of a run.
"""

from importlib import import_module
from importlib.util import find_spec

from rssc_tf.registration import register as _register
from rssc_tf.version import __version__ as __version__

# The public names, and where each is defined.
_DEFINED = {
    # Images to records.
    "convert": "tfrecords_tools.convert",
    "verify": "tfrecords_tools.records.verify",
    "audit": "tfrecords_tools.auditing.audit",
    "write_subset": "tfrecords_tools.subset",
    "find_dataset": "tfrecords_tools.sources.catalogue",
    "Records": "rssc_tf.records",
    # Train and evaluate.
    "SINGLE_LABEL": "rssc_tf.tasks",
    "MULTI_LABEL": "rssc_tf.tasks",
    "REGIMES": "rssc_tf.regimes",
    "BACKBONES": "rssc_tf.models.backbones",
    "Settings": "rssc_tf.settings",
    "build_classifier": "rssc_tf.library",
    "train": "rssc_tf.library",
    "load_run": "rssc_tf.runs",
    "evaluate": "rssc_tf.evaluation.evaluate",
    "METRICS": "rssc_tf.evaluation.metrics",
    "grad_cam": "rssc_tf.evaluation.grad_cam",
    "open_encoder": "rssc_tf.probing.encoder",
    "probe": "rssc_tf.probing.probe",
    "rank": "rssc_tf.ranking.rank",
    "write_ranking": "rssc_tf.ranking.page",
    # Compare.
    "Grid": "rssc_tf.comparison.grid",
    "compare": "rssc_tf.comparison.runner",
    "read_study": "rssc_tf.comparison.folder",
    "summarise": "rssc_tf.comparison.summary",
    "differences": "rssc_tf.comparison.summary",
    "write_report": "rssc_tf.comparison.report.page",
    # Export, classify files, map.
    "export": "rssc_tf.exporting.folder",
    "predict_files": "rssc_tf.predict",
    "map_scene": "rssc_tf.scene_map.run",
    # Something to try it with.
    "SETS": "rssc_tf.demo.scenes",
    "draw": "rssc_tf.demo.scenes",
    "draw_mosaic": "rssc_tf.demo.scenes",
    "write_set": "rssc_tf.demo.scenes",
    "demo_records": "rssc_tf.demo.run",
    # Faults.
    "RsscError": "tfrecords_tools.common.errors",
    "DataError": "tfrecords_tools.common.errors",
    "SettingError": "tfrecords_tools.common.errors",
    "MissingExtra": "tfrecords_tools.common.errors",
}
# What an extra brings, and its name; and names that are nothing without it.
_EXTRAS = {"rasterio": "geo", "shapely": "geo"}
_NEEDS = {"map_scene": ("rasterio", "shapely")}
# Modules that do without TensorFlow.
_LIGHT = {
    "rssc_tf.demo.scenes",
    "rssc_tf.models.backbones",
    "rssc_tf.regimes",
    "rssc_tf.settings",
    "rssc_tf.tasks",
    "tfrecords_tools.common.errors",
    "tfrecords_tools.sources.catalogue",
}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # a stub in `sys.modules`, without a spec: it can be imported
        return True


# Who looks at all names, as `import *` does, asks for no extra that is not installed.
_absent = {name for name, modules in _NEEDS.items() if not all(map(_is_there, modules))}
__all__ = ["__version__", *(name for name in _DEFINED if name not in _absent)]


def __getattr__(name: str):
    module = _DEFINED.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if module not in _LIGHT:
        from tfrecords_tools.common.tensorflow import import_tensorflow

        import_tensorflow()
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        from tfrecords_tools.common.errors import MissingExtra

        raise MissingExtra(f"rssc_tf.{name}", _EXTRAS[error.name], error.name) from error
    globals()[name] = found  # so that this is asked once
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_register()
