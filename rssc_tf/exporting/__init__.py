"""A run -> something that others can use without this project: SavedModel, TFLite, ONNX."""

from rssc_tf.exporting.folder import VERSION, export

__all__ = ["VERSION", "export"]
