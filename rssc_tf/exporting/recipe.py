"""How an image is made ready for a model that decodes no files: as code for its card, in words."""

from tfrecords_tools.imaging.rule import Rule

# Transparent pixels have hidden colours: the model was shown the mean of the others instead.
_PHOTOGRAPH = """
rgba = np.asarray(Image.open("photo.jpg").convert("RGBA"))
rgb, missing = rgba[..., :3].astype(float), rgba[..., 3] == 0
"""

_RASTER = """
values = tifffile.imread("image.tif")  # as stored, rows x columns x bands
values = values.reshape(*values.shape[:2], -1){chosen}
missing = ~np.isfinite(values).all(axis=-1){nodata}
rgb = values.astype(float)
{scaled}rgb = rgb.repeat(3 // rgb.shape[-1], axis=-1)
"""

_SCALED = """if values.dtype != np.uint8:  # 8 bits stay as they are
    {low_and_high}
    rgb = (np.nan_to_num(rgb, posinf=0, neginf=0) - low) * (255 / (high - low))
    rgb = np.clip(rgb, 0, 255).round()
"""

_BY_KIND = """kind = "float" if values.dtype.kind == "f" else "integer"
    ranges = {{{ranges}}}
    low, high = np.array(ranges[f"{{kind}} x {{values.shape[-1]}}"]).T  # of each band"""

_CUT = """if missing.any():
    rgb[missing] = rgb[~missing].mean(axis=0).round()
image = Image.fromarray(rgb.astype(np.uint8))
image = image.resize([min(side, {size}) for side in image.size], Image.BILINEAR)
w, h = (round(side * 256 / 292) for side in image.size)  # the central share, as in evaluation
left, top = (image.width - w) // 2, (image.height - h) // 2
image = image.crop((left, top, left + w, top + h)).resize(({side}, {side}), Image.BILINEAR)
images = np.asarray(image)[None]  # uint8 (1, {side}, {side}, 3)
"""


def preparing_code(rule: Rule, size: int, side: int) -> str:
    """Python, after `numpy` and Pillow's `Image` are imported: a file to `images`.

    Args:
        rule: how the training images became 8-bit RGB.
        size: longer sides are reduced to this.
        side: of what the model takes, in pixels.
    """
    cut = _CUT.format(size=size, side=side)
    if not _is_raster(rule):
        return _PHOTOGRAPH + cut
    numbers = [band for band in rule.bands if isinstance(band, int)]
    chosen = ""
    if rule.bands and len(numbers) == len(rule.bands):
        chosen = f"[..., {[band - 1 for band in numbers]}]"
    elif rule.bands:
        chosen = f"  # of these, {','.join(map(str, rule.bands))} in this order"
    nodata = "" if rule.nodata is None else f" | (values == {rule.nodata!r}).all(axis=-1)"
    raster = _RASTER.format(chosen=chosen, nodata=nodata, scaled=_scaling(rule))
    return f"import tifffile\n{raster}{cut}"


def _scaling(rule: Rule) -> str:
    low, high = rule.range
    if rule.ranges:
        of_each = ", ".join(f'"{kind}": {list(map(list, r))}' for kind, r in rule.ranges.items())
        return _SCALED.format(low_and_high=_BY_KIND.format(ranges=of_each))
    if rule.joint:
        of_all = f"np.percentile(rgb[~missing], [{low.value:g}, {high.value:g}])"
        return _SCALED.format(low_and_high=f"low, high = {of_all}")
    if low.percentile or high.percentile:  # no training image had more than 8 bits
        return ""
    return _SCALED.format(low_and_high=f"low, high = {low.value!r}, {high.value!r}")


def describe_files(rule: Rule) -> str:
    """Which files the code is for, a sentence or more."""
    others = (
        "What else there is (other depths, alpha or a mask of a TIFF, a colour space of its own) "
        "this code shows otherwise than the training images were: have `rssc-tf predict` read it, "
        "with the SavedModel of the run"
    )
    if _is_raster(rule):
        return f"TIFFs as the training images were ({describe_rule(rule)}). {others}"
    return f"photographs of 8 bits a channel, such as JPEG and PNG. {others}"


def describe_rule(rule: Rule) -> str:
    """How the training images became 8-bit RGB; empty where they were 8-bit photographs."""
    if not _is_raster(rule):
        return ""
    said = []
    if rule.bands:
        of = f" of {rule.count}" if rule.count else ""
        said.append(f"bands {','.join(map(str, rule.bands))}{of}")
    if rule.nodata is not None:
        said.append(f"nodata {rule.nodata:g}")
    for kind, ranges in rule.ranges.items():
        shown = ", ".join(f"{low:g}..{high:g}" for low, high in ranges)
        said.append(f"{kind} scaled to 8 bits from {shown}")
    if not rule.ranges and (rule.joint or _in_numbers(rule)):
        low, high = rule.range
        each = "each image from its own " if rule.joint else "from "
        said.append(f"more than 8 bits scaled to 8, {each}{low}..{high}")
    return "; ".join(said)


def _is_raster(rule: Rule) -> bool:
    """Whether the training images were more than photographs of 8 bits."""
    several = bool(rule.bands or rule.ranges or rule.joint)
    return several or rule.nodata is not None or _in_numbers(rule)


def _in_numbers(rule: Rule) -> bool:
    return not any(limit.percentile for limit in rule.range)
