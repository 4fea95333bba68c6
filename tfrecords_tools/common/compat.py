"""The private ground of Python and rasterio that the project stands on.

For Keras's and TensorFlow's see `rssc_tf.compat`.
"""

import pickle


def python_unpickler() -> type[pickle.Unpickler]:
    """Python's unpickler that is written in Python.

    `pickle._Unpickler`: the public `pickle.Unpickler` is the one in C wherever there is one. That
    cannot be stopped at each step, and makes its table of objects as long as the file says.
    """
    return pickle._Unpickler


def gdal_error() -> type[Exception]:
    """What GDAL itself raises.

    `rasterio._err.CPLE_BaseError`: rasterio turns most of GDAL's errors into its own
    `RasterioError`, but lets some through from reading a damaged file and from transforming
    coordinates, and these share no public base.
    """
    from rasterio._err import CPLE_BaseError

    return CPLE_BaseError
