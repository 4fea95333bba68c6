"""Map the classes of a whole scene (GeoTIFF and more) with an export folder."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rssc_tf.cli.export_flags import Trust, Views
from rssc_tf.cli.reading import NoData, bands_flag, range_flag, scaling
from tfrecords_tools.common.errors import MissingExtra
from tfrecords_tools.common.names import printable
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "map"
Bands = bands_flag(
    "By default those of the training images, else what the file calls red, green and blue."
)
Range = range_flag(
    "By default 8 bits stay as they are, and others have the range of the training images, else "
    "p2,p98 of each band."
)


def command(
    export: Annotated[Path, Argument(help="Export folder.")],
    scene: Annotated[str, Argument(help="Raster of any size: GeoTIFF, VRT, JPEG 2000, PNG, ...")],
    out: Annotated[Path, Option(help="GeoTIFF to make; a PNG and a QGIS style come beside it.")],
    window: Annotated[
        int | None,
        Option(
            min=1,
            help="Side of a window, in pixels: as much ground as a training image "
            "shows. The side of the training images by default.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        Option(min=1, help="From one window to the next, in pixels. Half a window by default."),
    ] = None,
    cell: Annotated[
        int | None,
        Option(min=1, help="Side of a cell of the map, in pixels. The stride by default."),
    ] = None,
    bands: Bands = None,
    range_: Range = None,
    nodata: NoData = None,
    unknown: Annotated[
        bool, Option("--unknown", help="Mark what is unlike all training images.")
    ] = False,
    polygons: Annotated[
        Path | None, Option(help="GeoJSON to make, too: the patches of each class.")
    ] = None,
    probabilities: Annotated[
        Path | None, Option(help="GeoTIFF to make, too: a band of probabilities for each class.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace existing files.")] = False,
    views: Views = None,
    trust: Trust = False,
) -> None:
    try:
        import rasterio  # noqa: F401
        import shapely  # noqa: F401, of the same extra since it cuts polygons
    except ImportError as error:
        raise MissingExtra("rssc-tf map", "geo", error.name) from error
    import_tensorflow()
    from rssc_tf.scene_map.run import map_scene
    from tfrecords_tools.imaging.rule import describe_ranges

    made = map_scene(
        export,
        scene,
        out,
        window=window,
        stride=stride,
        cell=cell,
        **scaling(bands, range_, nodata),
        unknown=unknown,
        polygons=polygons,
        probabilities=probabilities,
        overwrite=overwrite,
        views=views,
        trust=trust,
    )
    scene_, across = made.scene, made.across
    ranges = describe_ranges(scene_.ranges) or "as stored"
    print(
        f"scene: {scene_.width} x {scene_.height} pixels, bands "
        f"{','.join(map(str, scene_.bands))} {ranges}; windows of {across.window}"
    )
    if not made.model.task.exclusive:
        print("each cell shows the most probable of its labels; --probabilities keeps them all")
    for name, share in made.shares.items():
        print(printable(f"{name}: {100 * share:.1f}%"))
    place = "" if scene_.georeferenced else "; pixel coordinates, the scene has no others"
    print(
        f"map: {made.files[0]} ({across.cells} x {made.down.cells} cells of {across.cell} pixels"
        f"{place}; {made.files[2].name} beside it)"
    )
