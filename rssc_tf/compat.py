"""The private ground of Keras and TensorFlow that the project stands on.

For Python's and rasterio's see `tfrecords_tools.common.compat`. Each name is here because no public
one does the same; its docstring says what for. A test fails when a name is gone, and when a public
one has come that makes it needless.
"""


def all_layers(model) -> list:
    """All layers of a Keras model, those inside other layers and models included.

    `Model._flatten_layers`: the public `Model.layers` ends at the first level, and a composite
    layer of KerasHub does not say what layers it holds.
    """
    return model._flatten_layers()


def restart_names() -> None:
    """Lets the numbers in the names of new layers begin anew.

    `keras.src.utils.naming.reset_uids`: the public `keras.utils.clear_session` does it too, but
    throws away what TensorFlow has prepared for functions that are traced already.
    """
    from keras.src.utils.naming import reset_uids

    reset_uids()


def saved_model_proto(data: bytes):
    """The protobuf `SavedModel` of a `saved_model.pb`.

    `tensorflow.core.protobuf`: a loaded signature does not have what TensorFlow Serving's metadata
    says of it (names and shapes as they are stored), and TensorFlow exports no reader of the file.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString(data)
