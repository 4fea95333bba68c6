"""Colours and codes of a map."""

import numpy as np

from rssc_tf.scene_map.palette import Legend, distinct_colours
from rssc_tf.scene_map.picture import draw_map


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


def test_a_class_may_be_called_unknown():
    names = Legend(("field", "Unknown"), unknown=True).names()
    assert names == {0: "field", 1: "Unknown", 254: "unknown (unlike all training images)"}
    assert Legend(("unknown",)).names() == {0: "unknown"}


def test_a_dollar_in_the_name_of_a_class_begins_no_formula(tmp_path):
    names = ("$^$", "cost_$5_$_x", "_hidden")
    codes = np.array([[0, 1, 2]], np.uint8)
    picture, valid = np.zeros((1, 3, 3), np.uint8), np.ones((1, 3), bool)
    shares = dict.fromkeys(range(3), 1 / 3)
    draw_map(picture, valid, codes, Legend(names), shares, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size
