# SPDX-License-Identifier: Apache-2.0
"""Figures of matplotlib as files."""

import io
from pathlib import Path
from typing import Any

from tracekws.errors import DataError
from tracekws.files import write


def write_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure: the file appears complete or not at all.

    Raises:
        DataError: it cannot be written.
    """
    content = io.BytesIO()
    try:
        figure.savefig(content, format=path.suffix[1:], dpi=130)
    except ValueError as error:
        raise DataError(f"{path}: the picture cannot be drawn ({error})") from error
    write(path, content.getvalue())


def plain(name: str) -> str:
    """A name as matplotlib shows it: dollars in it begin no formula."""
    return name.replace("$", r"\$")
