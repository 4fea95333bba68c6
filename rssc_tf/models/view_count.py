"""How many views of an image count: it as it lies, or its eight symmetries. Needs no Keras."""

from tfrecords_tools.common.errors import SettingError

VIEWS = (1, 8)
CLASSIFIER_VIEWS = 1  # of a classifier, where nothing says how many


def check_views(views: int) -> None:
    """Raises `SettingError` for a number of views other than 1 and 8."""
    if views not in VIEWS:
        raise SettingError("views", "is 1 (the image as it lies) or 8 (its symmetries)", views)


def in_words(views: int) -> str:
    """`"1 view"`, `"8 views"`."""
    return f"{views} view{'s' if views > 1 else ''}"
