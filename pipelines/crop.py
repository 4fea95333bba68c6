"""The share of a stored image that a network is shown. Needs no TensorFlow."""

# 256 of 292 pixels in the study; for any other stored side the crop is the same share.
CROP_SHARE = 256 / 292


def crop_side(side: int) -> int:
    """Side of the crop from an image of this side, in pixels: 292 -> 256, 256 -> 224."""
    return max(1, round(side * CROP_SHARE))
