"""A folder of files in, three tables out: COVID-19 first, then the fourteen findings of all other images.

`run` triages a folder; `Reader` does the same for one file, which the dashboard uses; `score` compares a triage with
what is known of the images. Not a medical device.
"""

from cxrkit.triage._demo import run_demo
from cxrkit.triage._folder import path_of
from cxrkit.triage._reader import COVID_MODEL, FINDINGS_MODEL, Reader, Reading, load_networks
from cxrkit.triage._run import run, summary
from cxrkit.triage._score import predict_manifest, score, score_findings, score_predictions
from cxrkit.triage._tables import read_table, table_texts, write_table

__all__ = [
    "COVID_MODEL",
    "FINDINGS_MODEL",
    "Reader",
    "Reading",
    "load_networks",
    "path_of",
    "predict_manifest",
    "read_table",
    "run",
    "run_demo",
    "score",
    "score_findings",
    "score_predictions",
    "summary",
    "table_texts",
    "write_table",
]
