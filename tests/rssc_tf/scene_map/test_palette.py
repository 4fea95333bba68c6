"""Colours and codes of a map."""

import numpy as np

from rssc_tf.scene_map.palette import Legend, distinct_colours


def test_colours_are_apart_and_do_not_depend_on_how_many_there_are():
    many = distinct_colours(40)
    assert len(set(many)) == 40
    assert distinct_colours(9) == many[:9]
    apart = np.abs(np.array(many)[:, None] - np.array(many)[None]).sum(axis=-1)
    assert apart[~np.eye(40, dtype=bool)].min() > 40
    assert all(max(colour) - min(colour) > 40 for colour in many)  # none is grey
    assert len(distinct_colours(2000)) == 2000


def test_codes_of_few_and_of_many_classes():
    few = Legend(tuple(map(str, range(254))), unknown=True)
    assert (few.dtype, few.nodata, few.unknown_code) == ("uint8", 255, 254)
    many = Legend(tuple(map(str, range(255))), unknown=True)
    assert (many.dtype, many.nodata, many.unknown_code) == ("uint16", 65535, 65534)
    assert list(many.names().items())[-1] == (65534, "unknown")
    assert many.names().keys() == many.colours().keys()
    assert "unknown" not in Legend(("a", "b")).names().values()
