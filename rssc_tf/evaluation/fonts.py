"""Letters of every script in pictures, as far as this machine has a font of them."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

# matplotlib's own font, DejaVu Sans, has Latin, Greek, Cyrillic and more, but not these. A Linux, a
# Windows and a macOS have some of them each; the order is that of the look.
FALLBACKS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "SimHei", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans CJK KR", "Apple SD Gothic Neo", "Noto Sans Devanagari", "Nirmala UI"),
    *("Noto Sans Thai", "Leelawadee UI", "Arial Unicode MS"),
)
_MISSING = re.compile(r"Glyph (\d+) .*missing from")
_NAMED = 10  # characters, in the warning


@cache
def _installed() -> tuple[str, ...]:
    known = set(fontManager.get_font_names())
    return tuple(name for name in FALLBACKS if name in known)


@contextmanager
def all_letters(figure: Figure) -> Iterator[None]:
    """In the block a figure is drawn with the first font that has a letter; one warning names those
    that none has, in place of matplotlib's for each of them."""
    for text in figure.findobj(Text):
        text.set_fontfamily([*text.get_fontfamily(), *_installed()])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    missing = []
    for one in said:
        if found := _MISSING.match(str(one.message)):
            missing.append(chr(int(found[1])))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        missing = list(dict.fromkeys(missing))
        more = " ..." if len(missing) > _NAMED else ""
        warnings.warn(
            f"no font here has {' '.join(missing[:_NAMED])}{more}, which pictures show as boxes: "
            f"install one, such as {FALLBACKS[0]}",
            stacklevel=4,
        )
