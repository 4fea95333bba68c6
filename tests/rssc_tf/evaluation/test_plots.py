"""Pictures of a run, of any number of classes and in any script."""

import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rssc_tf.evaluation import fonts, plots
from rssc_tf.evaluation.plots import plot_confusion, plot_label_scores


def _confusion(classes: int) -> pd.DataFrame:
    names = [f"class {number}" for number in range(classes)]
    return pd.DataFrame(np.eye(classes, dtype=int) + 1, index=names, columns=names)


@pytest.mark.parametrize(
    ("classes", "inches", "counts", "names"),
    [(5, 4, 25, 5), (30, 14.1, 900, 30), (60, 26.7, 3600, 60)]
    + [(200, 26.7, 0, 200), (500, 26.7, 0, 250)],
)
def test_a_confusion_of_many_classes_is_no_larger(
    classes, inches, counts, names, monkeypatch, tmp_path
):
    seen = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: seen.append(figure))
    plot_confusion(_confusion(classes), tmp_path / "x.png", "set")
    scores = dict.fromkeys(("precision", "recall", "f1"), np.full(classes, 0.5))
    table = pd.DataFrame({"class": list(_confusion(classes)), "support": 1, **scores})
    plot_label_scores(table, tmp_path / "x.png", "set")
    square, bars = (figure.axes[0] for figure in seen)
    assert list(seen[0].get_size_inches()) == pytest.approx([inches, inches])
    assert len(square.texts) == counts
    places = (square.get_xticks(), square.get_yticks(), bars.get_yticks())
    assert [len(one) for one in places] == [names] * 3
    assert square.get_yticklabels()[-1].get_text() == f"class {(names - 1) * (classes // names)}"
    assert seen[1].get_size_inches()[1] <= 26.8


LETTER = "\ue000"  # of matplotlib's own fonts, those of formulas alone have it


@pytest.mark.parametrize(("installed", "boxes"), [(("STIXNonUnicode",), False), ((), True)])
def test_letters_come_from_a_font_that_has_them_or_are_told_in_one_line(
    installed, boxes, monkeypatch, tmp_path
):
    monkeypatch.setattr(fonts, "FALLBACKS", (*installed, "a font that nobody has"))
    fonts._installed.cache_clear()
    names = [LETTER, f"{LETTER}\ue001"]
    counts = pd.DataFrame([[1, 2], [3, 4]], index=names, columns=names)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            plot_confusion(counts, tmp_path / "x.png", "set")
    finally:
        fonts._installed.cache_clear()
    expected = [f"no font here has {LETTER} \ue001, which pictures show as boxes"] * boxes
    assert [str(one.message).partition(":")[0] for one in said] == expected
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 400


def test_what_else_is_warned_of_is_still_heard(monkeypatch, tmp_path):
    def savefig(self, path, **_):
        warnings.warn("another", stacklevel=1)
        path.touch()

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
    with pytest.warns(UserWarning, match="another"):
        plot_confusion(_confusion(3), tmp_path / "x.png", "set")
