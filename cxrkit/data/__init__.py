"""Manifests (one row per image) of any CSV, of public data sets and of the course's simulated images; downloads.

`read_manifest` is the one reader. Splits are by patient; `check_manifest` searches for leaks and copies. `load_films`
gives the images of a manifest as arrays. pandas is imported with the first name that needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cxrkit.data._course import COURSE_MANIFEST, course_boxes, course_images, course_manifest, simulate_row
from cxrkit.data._fetch import SOURCES, fetch
from cxrkit.data._journal import Journal, locked

if TYPE_CHECKING:
    from cxrkit.data._cells import ManifestError
    from cxrkit.data._check import check_manifest
    from cxrkit.data._films import FilmSet, load_films, truth
    from cxrkit.data._manifest import DataSet, read_manifest, write_manifest
    from cxrkit.data._sets import ADAPTERS
    from cxrkit.data._splits import check_splits, split_by_patient


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in ("_cells", "_manifest", "_splits", "_sets", "_films", "_check"):
            if (found := getattr(importlib.import_module(f"{__name__}.{home}"), name, None)) is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ADAPTERS",
    "COURSE_MANIFEST",
    "SOURCES",
    "DataSet",
    "FilmSet",
    "Journal",
    "ManifestError",
    "check_manifest",
    "check_splits",
    "course_boxes",
    "course_images",
    "course_manifest",
    "fetch",
    "load_films",
    "locked",
    "read_manifest",
    "simulate_row",
    "split_by_patient",
    "truth",
    "write_manifest",
]
