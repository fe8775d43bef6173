"""Pages whose text is known: drawn words, rendered in a font that a locked package ships."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_LISTED = (
    "about above after again answer apple around before below between better bread bridge bright "
    "broken brother candle carry castle change chapter circle clear clock cloud coffee copper "
    "corner cotton count cover cross dark dinner dream early earth empty engine evening every "
    "family farmer field finger flower follow forest garden gentle golden grain harbor heavy "
    "history honey horse house hundred island journey kitchen ladder letter light little market "
    "meadow minute mirror morning mother mountain narrow number orange paper pencil people "
    "picture pocket powder quiet railway reason river school season seven shadow silver simple "
    "sister smoke spring square station stone storm story street summer sunday table thread "
    "thunder ticket together tomorrow travel twelve under valley village violet water weather "
    "window winter wonder yellow young"
)
WORDS = tuple(_LISTED.split())
#: Small, so that a page is read in tenths of a second on one core.
WIDTH, HEIGHT = 256, 128
LINES = 3
FONT_PIXELS = 19
MARGIN = 10
FIRST_LINE = 12
LINE_PITCH = 40
#: Between words: PP-OCR was trained on Chinese above all, and takes narrow gaps for none.
GAP_PIXELS = 14
#: Of a page with nothing on it but white, and of text that is not quite black.
WHITE, INK = 255, (40, 30, 25)


@dataclass(frozen=True)
class Page:
    """A picture of bytes [h, w, 3], and what it says."""

    image: np.ndarray[Any, Any]
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)


def page(seed: int, lines: int = LINES) -> Page:
    """Return one page; each seed has its own words."""
    random = np.random.default_rng(seed)
    texts = tuple(_line(random) for _ in range(lines))
    height = max(HEIGHT, FIRST_LINE + lines * LINE_PITCH)
    picture = Image.new("RGB", (WIDTH, height), (WHITE, WHITE, WHITE))
    draw = ImageDraw.Draw(picture)
    for number, text in enumerate(texts):
        x = MARGIN
        for word in text.split():
            draw.text((x, FIRST_LINE + number * LINE_PITCH), word, INK, _font())
            x += _pixels(word) + GAP_PIXELS
    return Page(np.asarray(picture), texts)


def pages(count: int, first_seed: int = 0) -> list[Page]:
    """Return so many pages."""
    return [page(first_seed + number) for number in range(count)]


def _line(random: np.random.Generator) -> str:
    """Return words that fit on a line, and now and then a number."""
    words: list[str] = []
    while True:
        word = str(random.choice(WORDS))
        if random.random() < 0.2:  # noqa: PLR2004  one word in five
            word = str(random.integers(10, 10_000))
        if sum(map(_pixels, [*words, word])) + GAP_PIXELS * len(words) > WIDTH - 2 * MARGIN:
            return " ".join(words).capitalize()
        words.append(word)


def _pixels(word: str) -> int:
    return math.ceil(_font().getlength(word))


@cache
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib as mpl  # noqa: PLC0415  slow to import, and only for its font

    return ImageFont.truetype(
        Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", FONT_PIXELS
    )
