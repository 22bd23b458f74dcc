# SPDX-License-Identifier: Apache-2.0
"""Names of words, models and boards: what one may be, and how it becomes a path.

The rule is the core's (name.h). On the host a name is in Unicode's form NFC as well, since one word
has several spellings in bytes, and keyboards and file systems differ in which they give.
"""

import unicodedata
from pathlib import Path
from typing import Any

from tracekws._core import lib as _untyped_lib
from tracekws.errors import DataError

_lib: Any = _untyped_lib

NAME_BYTES: int = _lib.TKWS_NAME_BYTES
"""Of a name in a model image, zeros included."""
RULE = (
    f"1 to {_lib.TKWS_NAME_MAX} bytes of UTF-8 without spaces, control characters, / or \\,"
    " and without a full stop in front"
)
"""What a name is, for people."""
OTHER = "_other"
"""Name of takes that are learned as a model's class for other words."""


def normalised(text: str) -> str:
    """The text as names are compared and stored: in form NFC."""
    return unicodedata.normalize("NFC", text)


def bytes_of(text: str) -> bytes:
    """A text in UTF-8; where a file system's bytes were none, they are what they were."""
    return text.encode("utf-8", "surrogateescape")


def is_name(text: str) -> bool:
    """Whether a text is a name, in form NFC."""
    raw = text.encode("utf-8", "surrogatepass")
    return bool(_lib.tkws_name_valid(raw, len(raw))) and text == normalised(text)


def word_of(text: str) -> str:
    """A word as it is stored and compared.

    Raises:
        DataError: it is no name.
    """
    word = normalised(text)
    if not is_name(word):
        raise DataError(f"{word!r} is no word: it is {RULE}")
    return word


def path_of(folder: Path, name: str, suffix: str = "") -> Path:
    """The path of a name in a folder, and never outside of it.

    Raises:
        DataError: it is no name.
    """
    path = folder / f"{name}{suffix}"
    if not is_name(name) or path.parent != folder:
        raise DataError(f"{name!r} is no name of a file: a name is {RULE}")
    return path
