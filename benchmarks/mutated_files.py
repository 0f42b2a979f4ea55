"""Triage files with bytes flipped, cut, inserted or overwritten: one row for each, no crash, and the peak of memory.

`make bench NAME=mutated_files`. The images are simulated, the seed is fixed.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from triage_speed import TRIAGE

from cxrkit import phantom, show, triage


def originals(pixels: np.ndarray) -> list[tuple[str, bytes]]:
    """Write one image, (H, W) uint8, in many ways."""
    names = ("PNG", "JPEG", "WEBP", "BMP", "JPEG, progressive", "PNG, 12 bits in 16", "TIFF, LZW")
    files = {name: io.BytesIO() for name in names}
    for name, file in files.items():
        array = pixels.astype(np.uint16) * 16 if "16" in name else pixels
        Image.fromarray(array).save(file, name.split(",")[0], progressive="prog" in name, compression="tiff_lzw")
    tifffile.imwrite(files.setdefault("TIFF, floats", io.BytesIO()), pixels / 255, compression="zlib", tile=(64, 64))
    for syntax in (ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless):
        ds = pydicom.Dataset()
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
        ds.set_pixel_data(pixels.astype(np.uint16) * 16, "MONOCHROME2", 12)
        if syntax.is_encapsulated:
            ds.compress(syntax)
        ds.save_as(files.setdefault(f"DICOM, {syntax.name}", io.BytesIO()), enforce_file_format=True)
    return [(name, file.getvalue()) for name, file in files.items()]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip a bit, cut, insert or overwrite bytes; every second time near the header, where the harm is done."""
    at, way = int(rng.integers(700 if rng.random() < 0.5 else len(data))), rng.integers(4)
    some = [bytes([data[at] ^ 1 << int(rng.integers(8))]), b"", *(rng.bytes(int(rng.integers(1, 9))) for _ in range(2))]
    return data[:at] + some[way] + data[[at + 1, len(data), at, at + len(some[3])][way] :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=3000)
    count, rng = parser.parse_args().files, np.random.default_rng(0)
    kept = [pair for one in phantom.simulate_many(range(5), size_px=512) for pair in originals(one.pixels)]
    with tempfile.TemporaryDirectory() as scratch:
        (folder := Path(scratch, "files")).mkdir()
        for k in range(count):
            (folder / f"{k:05}.img").write_bytes(mutated(kept[k % len(kept)][1], rng))
        command = [sys.executable, "-c", TRIAGE, "triage", str(folder), f"--out={scratch}/out"]
        done = subprocess.run(command, capture_output=True, text=True)
        rows = triage.read_table(Path(scratch, "out", "combined.csv"))
    assert (len(rows), done.returncode) == (count, 1), f"{len(rows)} rows of {count}; exit code {done.returncode}"
    peak_mb = int(done.stdout.split()[-1]) // 1024
    print(f"# Triage of mutated files\n\n{date.today()}: {len(rows)} files, {peak_mb} MB.\n")
    rows["kind"] = [kept[int(name[:5]) % len(kept)][0] for name in rows["Image Index"]]
    print(show.table(rows.groupby(["kind", "status"]).size().unstack(fill_value=0).reset_index()))


if __name__ == "__main__":
    main()
