"""Stored values of a DICOM image to what a viewer shows: bits, padding, shutters, lookup tables, window, polarity.

Source: DICOM PS3.3, sections C.7.5.1.1.2, C.7.6.3, C.7.6.11, C.11.1 and C.11.2.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from pydicom.encaps import encapsulate, get_frame
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, apply_windowing, pixel_array
from pydicom.uid import JPEGLSNearLossless

from cxrkit.film import _frontal
from cxrkit.film._dicom_bytes import Coded
from cxrkit.film._pixels import UnreadableImage, grey


def to_grey(dataset: Any, coded: Coded | None, unsure: bool, notes: set[str]) -> tuple[np.ndarray, float]:
    """Decode a data set to (H, W) float32 in [0, 1], bones bright; and the share of coloured pixels.

    coded: the header of the compressed image, if any but RLE; unsure: the image decides whether bones are bright.
    """
    if not dataset.PhotometricInterpretation.startswith("MONOCHROME"):
        return _colour(dataset, notes)
    stored, hidden = _stored(dataset, coded, notes)
    hidden |= _shutter(dataset, stored.shape, notes)
    kept = stored[~hidden]
    if not kept.size:
        raise UnreadableImage("unreadable.dicom.padding")
    low, high = int(kept.min()), int(kept.max())
    wide = np.clip(stored.astype(np.int64), low, high)
    # The LUTs are computed once per value that occurs, then looked up: CR images have millions of pixels.
    if high - low < 2**17:
        levels, where = np.arange(low, high + 1), wide - low
    else:
        levels, where = np.unique(wide, return_inverse=True)
    counts = np.bincount(where[~hidden], minlength=len(levels))
    table = _shown(levels, counts, dataset, notes).astype(np.float32)
    if not np.isfinite(table).all():
        raise UnreadableImage("unreadable.dicom.element", element="RescaleSlope")
    pixels = table[where]
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = 1 - pixels
    pixels[hidden] = 0
    if unsure:
        turn = _frontal.look(pixels).is_negative
        notes.add("polarity_guessed" if turn else "polarity_unsure")
        if turn:
            pixels = np.where(hidden, np.float32(0), 1 - pixels)
    return np.ascontiguousarray(pixels), 0.0


def _decoded(dataset: Any, notes: set[str], **options: bool) -> np.ndarray:
    """Decode the one frame; refuse a compressed one of which rows are missing, which decoders fill with grey."""
    more: dict[str, Any] = options | {"allow_excess_frames": False}
    stored = pixel_array(dataset, **more)
    if dataset.file_meta.TransferSyntaxUID.startswith("1.2.840.10008.1.2.4."):
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        if frame[:2] == b"\xff\xd8" and frame.rfind(b"\xff\xd9") < frame.rfind(b"\xff\xda"):
            # Bytes added to an image that lacks its end marker alone have no effect; otherwise they fill its rows.
            dataset.PixelData = encapsulate([frame.removesuffix(b"\xff") + b"\x5a\xa5" * 64 + b"\xff\xd9"])
            if not np.array_equal(pixel_array(dataset, **more), stored):
                raise UnreadableImage("unreadable.cut_short", kind="DICOM")
            notes.add("cut_short")
    return stored


def _colour(dataset: Any, notes: set[str]) -> tuple[np.ndarray, float]:
    """Decode a coloured image, or one with a palette, to grey; and the share of coloured pixels."""
    bits, high = int(dataset.BitsStored), int(dataset.HighBit) + 1
    if high > bits:
        notes.add("bits_shifted")
        dataset.BitsStored = high
    stored = _decoded(dataset, notes, raw=True)
    if stored.ndim == 3:
        # Three equal channels are grey in RGB, whatever the header says.
        unlike = np.ptp(stored, axis=2).mean() > 2**high / 32
        if unlike and high <= 8:
            stored = _decoded(dataset, notes)
        elif unlike and dataset.PhotometricInterpretation.startswith("YBR_FULL"):
            # pydicom converts 8 bits alone; the first channel is the luma.
            stored = stored[..., :1]
    stored = stored >> (high - bits)
    if stored.ndim == 3:
        # Of deeper colours the upper 16 bits.
        deep = (stored >> max(0, bits - 16)).astype(np.uint16 if bits > 8 else np.uint8)
        return grey(deep, 2 ** min(bits, 16) - 1)
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if f"{names[0]}Data" not in dataset:
        coloured = apply_color_lut(stored, dataset)
        return grey(coloured, np.iinfo(coloured.dtype).max)
    tables = [_lut(dataset, name, stored, notes) for name in names]
    if None in tables:
        raise UnreadableImage("unreadable.dicom.element", element=f"{names[0]}Data")
    bits = max(table.bits for table in tables if table)
    channels = [table.look_up(stored) for table in tables if table]
    return grey(np.stack(channels, axis=2).astype(np.uint16 if bits > 8 else np.uint8), 2**bits - 1)


def _stored(dataset: Any, coded: Coded | None, notes: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """Decode the stored values, and mask the padding.

    Bits beyond BitsStored may hold anything (PS3.5, section 8.1.1), an overlay for instance; but lossy decoding, and
    a header with too few bits, push values there, which would wrap. The smoother image is the right one.
    """
    off = dict.fromkeys(("correct_unused_bits", "apply_j2k_sign_correction", "apply_jls_sign_correction"), False)
    raw = _decoded(dataset, notes, **off)
    if raw.dtype.kind not in "iu":
        raise UnreadableImage("unreadable.dicom.floats")
    bits, high, signed = int(dataset.BitsStored), int(dataset.HighBit) + 1, raw.dtype.kind == "i"
    padding = _padding(raw, dataset)
    if high > bits:
        # The header is wrong where nothing is there to be shifted down to.
        wrong = raw.max() < 2**bits and np.any(raw & (2 ** (high - bits) - 1))
        notes.add("depth_guessed" if wrong else "bits_shifted")
        if not wrong:
            shifted = _masked(raw, high) >> (high - bits)
            return shifted, padding | _padding(shifted, dataset)
    masked = _masked(raw, bits)
    shown = ~padding
    if masked.min() < 0 or (coded and coded.signed and not signed):
        other = raw.view(f"{'u' if signed else 'i'}{raw.dtype.itemsize}")
        if _roughness(other, shown) < _roughness(masked, shown) / (2 if signed else 1):
            notes.add("stream_repaired" if coded else "depth_guessed")
            dataset.PixelRepresentation = int(not signed)
            return other, _padding(other, dataset)
    if np.array_equal(raw, masked):
        return raw, padding
    if _roughness(masked, shown) <= _roughness(raw, shown):
        return masked, padding | _padding(masked, dataset)
    bottom, top = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    beyond = raw[shown] > bottom + 1.25 * (top - bottom)
    if np.mean(beyond) > 0.001:
        notes.add("depth_guessed")
        dataset.BitsStored = int(raw[shown].max()).bit_length() + signed
        if (number(dataset, "WindowCenter") or 0) + (number(dataset, "WindowWidth") or 0) / 2 <= top + 1:
            # The window is for the bits that are stated.
            notes.add("window_ignored")
            dataset.WindowWidth = None
        return raw, padding
    notes.add("bits_clipped")
    return np.clip(raw, bottom, top), padding


def _masked(raw: np.ndarray, bits: int) -> np.ndarray:
    """Return the lower bits, with the sign that they have."""
    unused = raw.dtype.itemsize * 8 - bits
    return (raw << unused) >> unused


def _roughness(values: np.ndarray, shown: np.ndarray) -> float:
    """Return the sum of the steps between neighbours in a row."""
    steps = np.abs(np.diff(values.astype(np.int64), axis=1))
    return float(steps[shown[:, 1:] & shown[:, :-1]].sum())


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Mask the padding outside the image (PS3.3 C.7.5.1.1.2), in stored values."""
    ends = [number(dataset, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    mask = np.zeros(stored.shape, bool)
    if ends[0] is None:
        return mask
    # Writers take the VR US for signed pixels too, and SS for unsigned ones; some give the bits stored alone.
    for bits in (int(dataset.BitsAllocated), int(dataset.BitsStored)):
        wrap = 2 ** (bits - 1) if stored.dtype.kind == "i" else 0
        low, high = sorted((int(ends[0] if end is None else end) + wrap) % 2**bits - wrap for end in ends)
        # Of the bits stored alone, a value in the middle of the range would be a grey of the image.
        if bits == dataset.BitsAllocated or high in (-wrap, 2**bits - 1 - wrap):
            mask = (stored >= low) & (stored <= high)
        if mask.any():
            break
    # Lossy coding leaves specks in the padding, also where the file was unpacked since; near-lossless JPEG-LS leaves no
    # pixel as it was. Values close to the padding belong to it where they touch the border of the image.
    lossy = dataset.file_meta.TransferSyntaxUID == JPEGLSNearLossless
    reach = (0.01 if lossy else 0.03) * float(np.ptp(np.percentile(stored[:: max(1, len(stored) // 256)], (1, 99))))
    near = (stored >= low - reach) & (stored <= high + reach)
    specks = near & ~mask & (cv2.blur(mask.astype(np.float32), (5, 5)) > 0.7)
    if not lossy and specks.sum() <= 0.002 * mask.sum():
        return mask
    _, parts = cv2.connectedComponents(near.astype(np.uint8))
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    mask |= np.isin(parts, border[border > 0])
    _, parts, islands, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8))
    return mask | np.isin(parts, np.flatnonzero(islands[:, cv2.CC_STAT_AREA] < mask.size / 1000))


def _shutter(dataset: Any, shape: tuple[int, ...], notes: set[str]) -> np.ndarray | bool:
    """Mask what display shutters hide (PS3.3 C.7.6.11)."""
    kinds = [str(kind).upper() for kind in np.atleast_1d(dataset.get("ShutterShape") or [])]
    if not kinds:
        return False
    shown: Any = np.ones(shape, np.uint8)
    try:
        for kind in kinds:
            part: Any = np.zeros(shape, np.uint8)
            if kind == "RECTANGULAR":
                names = ("UpperHorizontal", "LowerHorizontal", "LeftVertical", "RightVertical")
                top, bottom, left, right = (int(dataset[f"Shutter{name}Edge"].value) for name in names)
                part[max(top - 1, 0) : bottom, max(left - 1, 0) : right] = 1
            elif kind == "CIRCULAR":
                row, column = (int(at) for at in dataset.CenterOfCircularShutter)
                cv2.circle(part, (column - 1, row - 1), int(dataset.RadiusOfCircularShutter), (1,), cv2.FILLED)
            elif kind == "POLYGONAL":
                corners = np.reshape([int(at) for at in dataset.VerticesOfThePolygonalShutter], (-1, 2)) - 1
                cv2.fillPoly(part, [corners[:, ::-1].astype(np.int32)], (1,))
            else:
                # A bitmap belongs to presentation states.
                notes.add("shutter_ignored")
                part[:] = 1
            shown &= part
    except (AttributeError, KeyError, TypeError, ValueError):
        shown[:] = 0
    # A shutter that hides nearly all is wrong.
    if shown.mean() < 0.05:
        notes.add("shutter_ignored")
        return False
    return shown == 0


class _Lut(NamedTuple):
    """A lookup table: its entries, the first value that is mapped, and the bits of an entry."""

    entries: np.ndarray
    first: int
    bits: int

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """Map values; those beyond an end take that end's entry."""
        # As floats: of signed pixels of 8 or 16 bits the difference would wrap.
        return self.entries[np.clip((values.astype(float) - self.first).astype(np.int64), 0, len(self.entries) - 1)]


def _lut(item: Any, name: str, values: np.ndarray, notes: set[str]) -> _Lut | None:
    """Read a lookup table by what it holds (PS3.3 C.11.1.1, C.7.6.3.1.5); None, and a note, if that is nothing.

    Writers state 16 bits where the entries have 12 or the reverse, put entries of 8 bits into words or two into each,
    count wrongly, and give the first value without the sign of the values that the table is for.
    """
    stated = np.atleast_1d(item.get(f"{name}Descriptor") or ())
    raw = item.get(f"{name}Data") if len(stated) == 3 else None
    if not raw:
        notes.add("lut_ignored")
        return None
    count, first, bits = (int(number) for number in stated)
    count = count % 2**16 or 2**16
    if isinstance(raw, bytes):
        little = item.original_encoding[1] is not False
        words_ = np.frombuffer(raw + b"\0" * (len(raw) % 2), "<u2" if little else ">u2")
    else:
        words_ = (np.atleast_1d(np.asarray(raw, np.int64)) % 2**16).astype(np.uint16)
    # Half as many words as entries hold two each, or half of the entries is missing.
    bytewise = bits not in range(9, 16) or words_.max() >= 2**bits
    if bytewise and len(words_) == (count + 1) // 2 and count > 1:
        words_ = words_.astype("<u2").view(np.uint8)
    entries = words_.astype(np.int64)[: count if len(words_) < 2 * count else None]
    most = int(entries.max()).bit_length()
    if entries.min() == entries.max():
        notes.add("lut_ignored")
        return None
    true_bits = bits if most <= bits <= most + 1 and bits <= 16 else max(most, 8)
    if true_bits != bits or len(entries) != count or len(words_) != count:
        notes.add("lut_repaired")
    # The reading of the first value under which the table covers more of the values.
    low, high = float(values.min()), float(values.max())
    other = first + (2**16 if first < 0 else -(2**16))
    stated_cover, other_cover = (min(high, at + count - 1) - max(low, at) for at in (first, other))
    if other_cover > max(stated_cover, -1):
        notes.add("lut_repaired")
        first = other
    return _Lut(entries, first, true_bits)


def _shown(levels: np.ndarray, counts: np.ndarray, dataset: Any, notes: set[str]) -> np.ndarray:
    """Map stored values to what a viewer shows, in [0, 1]: modality LUT, then the first VOI LUT or window that fits."""
    values = _modality(levels, dataset, notes)
    seen = counts > 0
    for item in dataset.get("VOILUTSequence") or ():
        table = _lut(item, "LUT", values[seen], notes)
        if table:
            shown = np.clip(table.look_up(values) / (2.0**table.bits - 1), 0, 1)
            if np.ptp(shown[seen]) > 0 or np.ptp(values[seen]) == 0:
                return shown
            notes.add("lut_ignored")
    function = text(dataset, "VOILUTFunction")
    dark_at, bright_at = _quantiles(levels, counts, (0.02, 0.98))
    widths = dataset.get("WindowWidth")
    for k in range(len(widths) if isinstance(widths, MultiValue) else widths is not None):
        centre, width = number(dataset, "WindowCenter", k), number(dataset, "WindowWidth", k)
        if centre is None or not width or width <= 0:
            notes.add("window_ignored")
            continue
        known = function in ("LINEAR", "LINEAR_EXACT", "SIGMOID", "")
        dataset.VOILUTFunction = function if known and function else "LINEAR"
        if width < 1 and dataset.VOILUTFunction == "LINEAR":
            dataset.VOILUTFunction = "LINEAR_EXACT"
        dataset.WindowCenter, dataset.WindowWidth = centre, width
        # Both ends of the range that pydicom maps to, for any function, sign and rescale; and most of the image.
        mapped = apply_windowing(np.concatenate([values, [-1e30, 1e30]]), dataset, 0)
        shown = (mapped[:-2] - mapped[-2]) / (mapped[-1] - mapped[-2])
        ends = shown[np.searchsorted(levels, (dark_at, bright_at))]
        # A window for other values leaves an image of many levels black, white, without grey, or `blank` (0.087).
        greys = counts[(shown > 0.005) & (shown < 0.995)].sum() / counts.sum()
        flat = np.ptp(ends) < 0.087 and bright_at - dark_at > 2 ** (dataset.BitsStored - 3)
        fits = (ends.max() >= 0.1 and ends.min() <= 0.9 and greys >= 0.1 and not flat) or bright_at - dark_at < 100
        if not (known and fits):
            notes.add("window_ignored")
        if fits:
            return shown
    return _stretched(levels, values, counts, dataset, notes)


def _modality(levels: np.ndarray, dataset: Any, notes: set[str]) -> np.ndarray:
    """Apply the modality LUT or the rescale slope and intercept (PS3.3 C.11.1)."""
    items = dataset.get("ModalityLUTSequence") or ()
    # What is left describes the values to pydicom.
    dataset.pop("ModalityLUTSequence", None)
    for item in items:
        if table := _lut(item, "LUT", levels, notes):
            dataset.pop("RescaleSlope", None)
            return table.look_up(levels)
    if "RescaleSlope" not in dataset and "RescaleIntercept" not in dataset:
        return levels
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope is None or intercept is None:
        notes.add("element_missing")
    if slope == 0:
        notes.add("lut_ignored")
    dataset.RescaleSlope, dataset.RescaleIntercept = slope or 1.0, intercept or 0.0
    return levels.astype(np.float64) * dataset.RescaleSlope + dataset.RescaleIntercept


def _stretched(levels: np.ndarray, values: np.ndarray, counts: np.ndarray, dataset: Any, notes: set[str]) -> np.ndarray:
    """Stretch from the lowest to the highest value; without a few that lie far out, as dead pixels and letters do."""
    low, high = float(values[counts > 0].min()), float(values[counts > 0].max())
    dark, bright = _quantiles(values, counts, (0.02, 0.98))
    reach = bright - dark
    if reach > 0 and (low < dark - reach / 2 or high > bright + reach / 2):
        notes.add("robust_limits")
        near = (values >= dark - reach / 2) & (values <= bright + reach / 2)
        low, high = _quantiles(values[near], counts[near], (0.001, 0.999))
        stated = [number(dataset, f"{name}ImagePixelValue") for name in ("Smallest", "Largest")]
        if None not in stated:
            within = (levels >= stated[0]) & (levels <= stated[1])
            if 0.96 * counts.sum() <= counts[within].sum() and not within[counts > 0].all():
                low, high = float(values[within].min()), float(values[within].max())
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros(values.shape)


def _quantiles(values: np.ndarray, counts: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Return the values below which these shares of the image lie."""
    return np.quantile(values, shares, weights=counts, method="inverted_cdf").tolist()


def number(dataset: Any, name: str, index: int = 0) -> float | None:
    """Read one number of an element that may be missing, empty, single or malformed."""
    try:
        value = dataset.get(name)
        number = float((value if isinstance(value, MultiValue | list) else [value])[index])
    except (IndexError, TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def text(dataset: Any, name: str) -> str:
    return str(dataset.get(name) or "").strip().upper()
