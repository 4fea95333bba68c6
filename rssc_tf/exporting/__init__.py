"""A run -> something that others can use without this project: SavedModel, TFLite, ONNX."""
