"""The private ground of Keras, TensorFlow and rasterio that the project stands on.

Each name is here because no public one does the same; its docstring says what for. A test fails
when a name is gone, and when a public one has come that makes it needless.
"""


def all_layers(model) -> list:
    """All layers of a Keras model, those inside other layers and models included.

    `Model._flatten_layers`: the public `Model.layers` ends at the first level, and a composite
    layer of KerasHub does not say what layers it holds.
    """
    return model._flatten_layers()


def gdal_error() -> type[Exception]:
    """What GDAL itself raises.

    `rasterio._err.CPLE_BaseError`: rasterio turns most of GDAL's errors into its own
    `RasterioError`, but lets some through from reading a damaged file and from transforming
    coordinates, and these share no public base.
    """
    from rasterio._err import CPLE_BaseError

    return CPLE_BaseError


def saved_model_proto(data: bytes):
    """The protobuf `SavedModel` of a `saved_model.pb`.

    `tensorflow.core.protobuf`: a loaded signature does not have what TensorFlow Serving's metadata
    says of it (names and shapes as they are stored), and TensorFlow exports no reader of the file.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString(data)
