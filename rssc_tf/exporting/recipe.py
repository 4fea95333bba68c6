"""How an image is made ready for a model that decodes no files: as code for its card, in words."""

from collections import defaultdict

from tfrecords_tools.imaging.rule import Rule, describe_ranges

# Transparent pixels have hidden colours: the model was shown the mean of the others instead.
_PHOTOGRAPH = """
rgba = np.asarray(Image.open("photo.jpg").convert("RGBA"))
rgb, missing = rgba[..., :3].astype(float), rgba[..., 3] == 0
"""

_RASTER = """
page = tifffile.TiffFile("image.tif").pages[0]
values = np.moveaxis(page.asarray(), page.axes.find("S"), -1)  # as stored, the bands last
values = values.reshape(*values.shape[:2], -1)  # rows x columns x bands
{bands}if bands:
    values = values[..., np.array(bands) - 1]
rgb = values.astype(float)
missing = ~(np.abs(rgb) < 1e30).all(axis=-1){nodata}  # NaN, and floats that programs fill with
{scaled}rgb = rgb.repeat(3 // rgb.shape[-1], axis=-1)
"""

_NAMED = """bands = []  # fill in the numbers, from 1, of {names} in the file
assert bands, "fill in `bands`"
"""

# Which of its bands are red, green and blue, a file may say by names and declared colours. To read
# these as `bands.choose` does is too much for a card: the code asks for numbers instead.
_UNCHOSEN = """bands = []  # fill in the numbers, from 1, of red, green, blue where it asks for them
if not bands and values.shape[-1] != 1:  # three are taken as red, green, blue in this order
    told = page.tags.valueof(42112, default="")  # GDAL's names and colours of bands
    named = 'role="description"' in told or 'role="colorinterp"' in told
    assert values.shape[-1] == 3 and not named, "fill in `bands`"
"""

_ONLY_OF = """assert values.shape[-1] in ({count}, {count} + 1), "other bands"  # one more: alpha
"""

_SCALED = """if values.dtype != np.uint8:  # 8 bits stay as they are
    {low_and_high}
    rgb = (np.nan_to_num(rgb, posinf=0, neginf=0) - low) * (255 / (high - low))
    rgb = np.clip(rgb, 0, 255).round()
"""

_BY_KIND = """kind = "float" if values.dtype.kind == "f" else "integer"
    kind = f"{{kind}} x {{values.shape[-1]}}"
    ranges = {{{ranges}}}
    assert kind in ranges, f"no training image was {{kind}}"
    low, high = np.array(ranges[kind]).T  # of each band"""

_EIGHT_BITS = """assert values.dtype == np.uint8, f"no training image was {values.dtype}"
"""

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
    nodata = "" if rule.nodata is None else f" | (values == {rule.nodata!r}).all(axis=-1)"
    raster = _RASTER.format(bands=_bands(rule), nodata=nodata, scaled=_scaling(rule))
    return f"import tifffile\n{raster}{cut}"


def _bands(rule: Rule) -> str:
    """Code that has `bands`: the numbers of those to take, or none where it may take all."""
    if not rule.bands:
        return _UNCHOSEN
    if not _numbered(rule):
        return _NAMED.format(names=", ".join(map(repr, rule.bands)))
    checked = "" if rule.count is None else _ONLY_OF.format(count=rule.count)
    return f"bands = {list(rule.bands)}\n{checked}"


def _scaling(rule: Rule) -> str:
    low, high = rule.range
    if rule.ranges:
        of_each = ", ".join(f'"{kind}": {list(map(list, r))}' for kind, r in rule.ranges.items())
        return _SCALED.format(low_and_high=_BY_KIND.format(ranges=of_each))
    if rule.joint:
        of_all = f"np.percentile(rgb[~missing], [{low.value:g}, {high.value:g}])"
        return _SCALED.format(low_and_high=f"low, high = {of_all}")
    if low.percentile or high.percentile:  # no training image had more than 8 bits
        return _EIGHT_BITS
    return _SCALED.format(low_and_high=f"low, high = {low.value!r}, {high.value!r}")


def describe_files(rule: Rule) -> str:
    """Which files the code is for, a sentence or more."""
    kinds = "photographs of 8 bits a channel, such as JPEG and PNG"
    if _is_raster(rule):
        kinds = f"TIFFs as the training images were ({describe_rule(rule)})"
        if not _numbered(rule):
            kinds += (
                ". Fill in `bands` where a file names its bands, declares their colours or has "
                "more than three"
            )
    return (
        f"{kinds}. What else there is (other depths, PNG of more than 8 bits, alpha, a mask or "
        "nodata that a TIFF declares, a colour space of its own) this code shows otherwise than "
        "the training images were, or refuses: have `rssc-tf predict` read it, with the SavedModel "
        "of the run"
    )


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
    shared = defaultdict(list)  # one range for one band and for three is said once
    for kind, ranges in rule.ranges.items():
        shared[kind.split(" x ")[0], describe_ranges(ranges)].append(kind)
    for (number, shown), kinds in shared.items():
        what = kinds[0] if len(kinds) == 1 else f"{number}s"
        said.append(f"{what} scaled to 8 bits from {shown}")
    if not rule.ranges and (rule.joint or rule.in_numbers):
        low, high = rule.range
        each = "each image from its own " if rule.joint else "from "
        said.append(f"more than 8 bits scaled to 8, {each}{low}..{high}")
    return "; ".join(said)


def _is_raster(rule: Rule) -> bool:
    """Whether the training images were more than photographs of 8 bits."""
    several = bool(rule.bands or rule.ranges or rule.joint)
    return several or rule.nodata is not None or rule.in_numbers


def _numbered(rule: Rule) -> bool:
    """Whether it says by their numbers which bands to take, whatever a file calls them."""
    return bool(rule.bands) and all(isinstance(band, int) for band in rule.bands)
