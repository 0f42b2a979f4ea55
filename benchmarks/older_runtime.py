"""Run a network's bundles with an older ONNX Runtime and with the one that is installed: how far the answers lie apart.

    python benchmarks/older_runtime.py > OUT.md

JetPack brings old releases. Both are fetched with pip into a folder that goes, beside a numpy that fits and nothing
else; they run on this machine's processor.
"""

import argparse
import shlex
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

from arm64 import MODEL, answers, wheels

from cxrkit import deploy
from cxrkit.deploy import _films

#: Each is held against the newer release's run of the same bundle, and of the first.
PRECISIONS = ("fp32", "fp16", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    # The oldest that pip finds for Python 3.11, and the last numpy of the kind it was built for.
    parser.add_argument("--runtime", default="1.15.0")
    parser.add_argument("--numpy", default="1.26.4")
    parser.add_argument("--films", type=int, default=20)
    options = parser.parse_args()
    rows: list[str] = []
    kept = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        older = wheels(folder / "older", options.runtime, options.numpy)
        newer = wheels(folder / "newer", version("onnxruntime"), version("numpy"))
        for precision in PRECISIONS:
            work = folder / precision
            work.mkdir()
            bundle = deploy.export(MODEL, work / "bundle", target="jetson-nano", precision=precision).folder
            info = deploy.read(bundle).info
            side = info["input_size"]
            films = _films.pack(None, None, work, labels=info["labels"], side=side, most=options.films)
            # Without its site's packages, so that nothing of this environment is taken.
            then, now = (
                answers([sys.executable, "-S"], packages, bundle, films.here, work / packages.name)[0]
                for packages in (older, newer)
            )
            kept = now if kept is None else kept
            for beside in (now,) if now is kept else (now, kept):
                found = deploy.compare(then, beside, thresholds=info["thresholds"], patients=films.patients)
                if found.unanswered:
                    raise SystemExit(f"films without an answer: {', '.join(found.unanswered)}")
                apart = found.agreement
                cells = [precision, beside.result["ran"]["precision"], f"{apart.largest:.2g}"]
                rows.append("| " + " | ".join([*cells, f"{len(apart.changed)} of {apart.films}"]) + " |")
    old, new = (f"{run.result['ran']['engine_version']} (numpy {run.result['device']['numpy']})" for run in (then, now))
    device, count = now.result["device"], len(films.patients)
    print(f"""## An older ONNX Runtime

{date.today()}, `python {shlex.join(sys.argv)}`. {MODEL}'s bundles for jetson-nano over
{count} course films with ONNX Runtime {old} beside {new}, Python {device["python"]} on {device["machine"]}.

| bundle, older release | bundle, newer release | largest difference | films called otherwise |
|---|---|---|---|""")
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
