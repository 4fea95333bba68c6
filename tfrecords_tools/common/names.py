"""Names of files, classes and labels come from elsewhere: how they are compared and shown."""

import os
import re
import unicodedata

# Nobody sees these: zero-width spaces, soft hyphen, marks of direction, byte-order mark.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# Nor these in Latin script; in Persian, Hindi and emoji they change what one sees.
_JOINERS = re.compile("[\u200c\u200d\ufe00-\ufe0f]")


def clean(name: str) -> str:
    """A name without what nobody sees: NFC, no zero-width characters, single inner spaces.

    `"fore\\u0302t "`, as a Mac spells its folders, becomes `"for\\u00eat"`. Control characters
    stay, to be refused where a name may not have them.
    """
    name = _INVISIBLE.sub("", unicodedata.normalize("NFC", name))
    spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in name)
    return re.sub(" {2,}", " ", spaced).strip(" ")


def folded(name: str) -> str:
    """What two names have in common that a person takes for one: letter case, width, ligatures."""
    return unicodedata.normalize("NFKC", _JOINERS.sub("", clean(name))).casefold()


def without_secrets(scene: str) -> str:
    """A path as it is, or an address, or GDAL's name of a scene, without what may be a secret in
    it: a signature after `?`, a password before `@`."""
    if os.path.exists(scene):
        return scene
    return re.sub("://[^/@]*@", "://", scene.partition("?")[0])


def words_without_secrets(text: str) -> str:
    """Several of these, with commas between."""
    return ",".join(without_secrets(part) if "://" in part else part for part in text.split(","))


def printable(text: object) -> str:
    """Text for a terminal or a log: whatever is no visible character stands as its escape.

    A name can hold a line break, or commands to the terminal (`ESC [2J` clears it).
    """
    return "".join(
        letter
        if letter.isprintable()
        else " "
        if unicodedata.category(letter) == "Zs"
        else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in str(text)
    )
