"""What the Python steps of the OCR pipeline compute, for Triton's stub and for one process alike.

Before and after the networks as PP-OCR does it (Du et al., arXiv:2009.09941): text is found by
differentiable binarisation (Liao et al., arXiv:1911.08947), and read by CTC (Graves et al., 2006).
Images are arrays of height, width and channels; batches have channels before height. Standard
library, numpy and OpenCV only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]

#: The detector takes sides that are multiples of this, and none longer than that.
STRIDE = 32
LONGEST = 960
#: A pixel is text from this probability on; a region, from this mean on.
IS_TEXT = 0.3
IS_REGION = 0.5
#: The detector finds the core of a line: it is widened by area / circumference times this.
WIDENED = 1.6
SMALLEST_SIDE = 3
LINE_HEIGHT = 48
#: Lines are padded to the widest of the page, and to no less than the recogniser was trained with.
LEAST_WIDTH = 320
HEAD_WIDTH = 192
#: Of a classified line: its probabilities of standing upright and upside down.
UPSIDE_DOWN = 1
IS_TURNED = 0.9
BLANK = 0

cv2.setNumThreads(1)  # workers of a step run beside each other; one must not take all processors


@dataclass(frozen=True)
class Region:
    """Where a line of text stands on the page: a rectangle in pixels, perhaps at an angle."""

    centre: tuple[float, float]
    size: tuple[float, float]
    """Along the line, and across it."""
    angle: float
    """Degrees, clockwise."""


@dataclass(frozen=True)
class Crops:
    """The lines of a page, in the order of reading; at least one, which is empty on a bare page."""

    lines: Array
    """For the recogniser: [n, 3, 48, width]."""
    heads: Array
    """For the classifier: [n, 3, 48, 192]."""
    rows: Array
    """Which line of the page each is part of: [n], ascending."""


def prepare(page: Array) -> Array:
    """Return a page of bytes [h, w, 3] as the detector takes it: [1, 3, H, W] in [-1, 1]."""
    scale = min(1.0, LONGEST / max(page.shape[:2]))
    height, width = (max(STRIDE, round(n * scale / STRIDE) * STRIDE) for n in page.shape[:2])
    return _as_batch(cv2.resize(page, (width, height)))[np.newaxis]


def crop(page: Array, found: Array) -> Crops:
    """Cut the lines out of a page [h, w, 3] where the detector found text: [1, 1, H, W]."""
    ordered = in_reading_order(regions_of(found[0, 0], page.shape))
    images = [_cut(page, region) for row in ordered for region in row] or [_blank()]
    rows = [number for number, row in enumerate(ordered) for _ in row] or [0]
    ratio = max(image.shape[1] / image.shape[0] for image in images)
    width = max(LEAST_WIDTH, math.ceil(LINE_HEIGHT * ratio / STRIDE) * STRIDE)
    lines = [_padded(image, width) for image in images]
    heads = [_padded(image, HEAD_WIDTH) for image in images]
    return Crops(np.stack(lines), np.stack(heads), np.array(rows, np.int32))


def join(read: Array, turned: Array, rows: Array, characters: Sequence[str]) -> tuple[str, float]:
    """Return the text of a page, a line of it on each line, and how sure that is, 0 to 1.

    ``read`` has the recogniser's probabilities [n, time, character], ``turned`` the classifier's
    [n, 2]. What stands upside down is left out: read as it stands it is no text.
    """
    texts: dict[int, list[str]] = {}
    sure = []
    for probabilities, orientation, row in zip(read, turned, rows, strict=True):
        text, confidence = decode(probabilities, characters)
        if text and orientation[UPSIDE_DOWN] < IS_TURNED:
            texts.setdefault(int(row), []).append(text)
            sure.append(confidence)
    whole = "\n".join(" ".join(parts) for parts in texts.values())
    return whole, float(np.mean(sure)) if sure else 0.0


def characters(listed: str) -> list[str]:
    """Return what the recogniser's outputs stand for: the blank, those listed, and a space."""
    return ["", *listed.splitlines(), " "]


def decode(probabilities: Array, characters: Sequence[str]) -> tuple[str, float]:
    """Return the most likely text of a line by CTC's best path, and the mean of its characters'."""
    best = probabilities.argmax(axis=1)
    kept = np.flatnonzero((best != BLANK) & (np.diff(best, prepend=BLANK) != 0))
    if not kept.size:
        return "", 0.0
    sure = probabilities[kept, best[kept]]
    return "".join(characters[index] for index in best[kept]).strip(), float(sure.mean())


def regions_of(found: Array, page_shape: Sequence[int]) -> list[Region]:
    """Return the regions of text on a page, from the detector's map of probabilities [H, W]."""
    mask = cv2.dilate((found > IS_TEXT).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    scale = page_shape[1] / found.shape[1], page_shape[0] / found.shape[0]
    regions = []
    for contour in contours:
        centre, size, angle = cv2.minAreaRect(contour)
        if min(size) >= SMALLEST_SIDE and _certainty(found, contour) >= IS_REGION:
            regions.append(_on_page(centre, size, angle, scale))
    return regions


def in_reading_order(regions: Sequence[Region]) -> list[list[Region]]:
    """Return rows from top to bottom: what stands beside each other, from left to right."""
    rows: list[list[Region]] = []
    for region in sorted(regions, key=lambda each: each.centre[1]):
        beside = rows and region.centre[1] - rows[-1][0].centre[1] < region.size[1] / 2
        if beside:
            rows[-1].append(region)
        else:
            rows.append([region])
    return [sorted(row, key=lambda region: region.centre[0]) for row in rows]


def _certainty(found: Array, contour: Array) -> float:
    left, top, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [contour - (left, top)], 1)
    return float(cv2.mean(found[top : top + height, left : left + width], inside)[0])


def _on_page(
    centre: Sequence[float], size: Sequence[float], angle: float, scale: tuple[float, float]
) -> Region:
    """Return a rectangle of the detector's map as a region of the page, with its widened sides."""
    (width, height), turned = size, angle
    if width < height:  # minAreaRect names the sides by the angle, we by the direction of text
        width, height, turned = height, width, angle - 90
    by = 2 * WIDENED * width * height / (2 * (width + height))
    x, y = scale
    return Region((centre[0] * x, centre[1] * y), ((width + by) * x, (height + by) * y), turned)


def _cut(page: Array, region: Region) -> Array:
    """Return a region as an image of its own, upright as far as its angle tells."""
    width, height = (max(1, round(side)) for side in region.size)
    turn = cv2.getRotationMatrix2D(region.centre, region.angle, 1.0)
    turn[:, 2] += np.array([width, height]) / 2 - region.centre
    image: Array = cv2.warpAffine(page, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return image


def _padded(image: Array, width: int) -> Array:
    """Return an image 48 high and so wide: [3, 48, width]; squeezed where it is wider."""
    fits = min(width, math.ceil(LINE_HEIGHT * image.shape[1] / image.shape[0]))
    padded = np.zeros((3, LINE_HEIGHT, width), np.float32)
    padded[:, :, :fits] = _as_batch(cv2.resize(image, (fits, LINE_HEIGHT)))
    return padded


def _as_batch(image: Array) -> Array:
    """Return bytes [h, w, RGB] as the networks take them: [BGR, h, w] in [-1, 1]."""
    scaled = image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return np.ascontiguousarray(scaled)


def _blank() -> Array:
    return np.full((LINE_HEIGHT, LEAST_WIDTH, 3), 255, np.uint8)
