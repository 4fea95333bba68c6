"""The two demo sets as data: classes, palettes and what each "sensor" does to the light.

They differ on purpose the way two published sets do: *source* is a lush summer seen sharply from
higher up, *target* a dry season seen closer, through warm haze. Eight classes are in both; the
others are in only one. Many classes share a palette, so that colour alone does not tell them apart.
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]
Span = tuple[float, float]


@dataclass(frozen=True)
class SceneSet:
    """What one set draws from. A span is the (low, high) that each image samples uniformly."""

    classes: tuple[str, ...]  # names of functions in `country` and `town`
    images_per_class: int
    seed: int
    palette: dict[str, tuple[Colour, ...]]  # material -> sRGB colours, 0 to 255
    extent: Span  # side of the scene in metres (buildings and cars have their true sizes)
    sun: Span  # elevation in degrees: low sun, long shadows
    exposure: Span  # factor on all channels
    saturation: Span  # 1 leaves the colours alone, 0 makes them grey
    haze: Span  # share of the light that is haze, 0 to 1
    haze_colour: Colour
    tint: tuple[float, float, float]  # white balance: factor for R, G, B
    blur: Span  # standard deviation of the optics in thousandths of the image side
    noise: Span  # standard deviation of the sensor noise in grey levels


_SUMMER = {
    "grass": ((86, 106, 60), (104, 120, 70), (74, 92, 52), (120, 124, 82)),
    "tree": ((54, 76, 46), (66, 88, 50), (48, 68, 48), (76, 92, 56)),
    "crop": ((88, 116, 56), (114, 132, 68), (66, 94, 50), (146, 142, 90), (124, 106, 76)),
    "soil": ((132, 108, 82), (150, 128, 100), (118, 100, 80), (146, 118, 86)),
    "sand": ((206, 186, 148), (190, 164, 122), (220, 204, 172), (176, 146, 104)),
    "water": ((52, 72, 80), (46, 62, 78), (66, 84, 74), (62, 90, 98), (76, 84, 66)),
    "foam": ((236, 240, 240),),
    "asphalt": ((92, 93, 95), (112, 111, 108), (78, 79, 82), (128, 126, 122)),
    "concrete": ((168, 164, 154), (150, 148, 142), (184, 180, 170)),
    "roof": ((132, 76, 60), (112, 102, 96), (150, 132, 114), (90, 86, 86), (156, 96, 72)),
    "hall": ((200, 202, 204), (96, 124, 168), (158, 158, 156), (172, 122, 104), (122, 126, 126)),
    "car": ((230, 230, 230), (40, 42, 46), (150, 154, 158), (140, 40, 36), (48, 66, 110)),
    "paint": ((226, 224, 214),),
    "track": ((168, 88, 66), (150, 78, 66), (84, 110, 130)),
    "turf": ((72, 112, 54), (88, 124, 62), (62, 98, 56)),
    "panel": ((34, 44, 74), (46, 54, 78)),
    "glass": ((206, 216, 214), (186, 196, 192), (222, 224, 216)),
}

_DRY = _SUMMER | {
    "grass": ((150, 138, 92), (132, 126, 80), (164, 148, 108), (118, 118, 74)),
    "tree": ((80, 86, 50), (98, 92, 54), (70, 76, 50), (112, 96, 60)),
    "crop": ((190, 168, 112), (164, 142, 94), (118, 120, 68), (172, 138, 104), (140, 132, 78)),
    "soil": ((178, 144, 108), (164, 132, 96), (190, 160, 126), (154, 122, 92)),
    "water": ((88, 98, 88), (74, 92, 98), (106, 108, 84), (84, 104, 104)),
    "asphalt": ((126, 120, 114), (142, 136, 128), (108, 104, 102), (154, 146, 136)),
    "concrete": ((188, 180, 166), (172, 164, 150), (200, 192, 178)),
    "roof": ((184, 112, 80), (196, 152, 118), (160, 92, 70), (150, 142, 134), (206, 186, 162)),
    "hall": ((214, 210, 202), (176, 168, 158), (190, 134, 106), (120, 140, 160), (146, 140, 134)),
    "turf": ((98, 124, 62), (114, 132, 70), (84, 114, 58), (126, 134, 80)),
}

SETS: dict[str, SceneSet] = {
    "source": SceneSet(
        classes=(
            "beach",
            "dense_residential",
            "desert",
            "farmland",
            "forest",
            "harbour",
            "industrial",
            "intersection",
            "lake",
            "orchard",
            "parking",
            "pivot_field",
            "railway",
            "river",
            "runway",
            "sparse_residential",
            "stadium",
            "storage_tanks",
        ),
        images_per_class=50,
        seed=2022,
        palette=_SUMMER,
        extent=(125, 180),
        sun=(40, 65),
        exposure=(0.8, 1.2),
        saturation=(0.55, 1.05),
        haze=(0.0, 0.14),
        haze_colour=(176, 190, 204),
        tint=(0.98, 1.0, 1.0),
        blur=(3.5, 6.5),
        noise=(1.5, 4.0),
    ),
    "target": SceneSet(
        classes=(
            "dense_residential",
            "farmland",
            "forest",
            "greenhouses",
            "industrial",
            "orchard",
            "parking",
            "river",
            "roundabout",
            "solar_farm",
            "sparse_residential",
            "sports_field",
        ),
        images_per_class=60,
        seed=1962,
        palette=_DRY,
        extent=(85, 125),
        sun=(24, 42),
        exposure=(0.78, 1.15),
        saturation=(0.5, 0.95),
        haze=(0.1, 0.36),
        haze_colour=(214, 198, 172),
        tint=(1.04, 1.0, 0.94),
        blur=(6.0, 11.0),
        noise=(4.0, 9.0),
    ),
}
