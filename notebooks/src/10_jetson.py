# %% [markdown]
# # A board: the same network beside the bed
#
# The report of 2020 ends on a Jetson Nano, a board of the size of a hand. Several conversions of its COVID-19 network
# failed, and the board ended the program because memory was short, while loading and while predicting. Then figure 18
# shows its log, and table 30 compares the board with a PC: accuracy 0.83 against 0.90. The report does not explain the
# seven images.
#
# **What you will see**
#
# 1. what the report printed (figures 18 to 20, table 30), and what does not fit together in it;
# 2. a network as a bundle for the board, in three precisions, and what each costs;
# 3. the board: what it has, copying, a run with its log (figures 18 and 19);
# 4. the PC on the same images (figure 20), and table 30, image by image;
# 5. where accuracy can be lost: in the preparation of images.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import seaborn as sns

from cxrkit import deploy, metrics, networks, show
from cxrkit.course import check_answer, published
from cxrkit.data import read_manifest
from cxrkit.film import read
from cxrkit.labels import COVID

# %% [markdown]
# `HOST` is a board as `ssh` knows it: a name of your SSH configuration, or user@host. Your keys, agent and known_hosts
# are used; passwords are not. `PYTHON` is the Python there that has NumPy and a runtime.
#
# With `HOST = None` there is no board, and this machine stands in for one: a folder as its home, and this machine's
# Python with `MEMORY_MB` of address space. The board is then **SIMULATED: all times are those of this machine, not of a
# Jetson**.

# %% tags=["parameters"]
HOST = None
PYTHON = "python3"
MEMORY_MB = 1024
MODEL = "covid-small"
FILMS = 100
OUT = "runs/10_jetson"

# %%
out = Path(OUT).absolute()
for name in (*deploy.PRECISIONS, "board"):
    # An export writes only into a new or empty folder.
    shutil.rmtree(out / name, ignore_errors=True)
(out / "board").mkdir(parents=True)
limited = out / "board" / "python"
limited.write_text(f'#!/bin/sh\nulimit -v {MEMORY_MB * 1024}\nexec "{sys.executable}" "$@"\n')
limited.chmod(0o755)
board = deploy.Board(HOST, python=PYTHON) if HOST else deploy.Board(f"folder:{out / 'board'}", python=str(limited))
network = networks.load(MODEL)
print(board.simulated or f"the board {HOST}")

# %% [markdown]
# ## 1. What the report printed
#
# Figure 17 shows the board, figures 19 and 20 show it and the PC at work. The numbers are in figure 18, a log with two
# lines for each of 100 images and a mean at its end, and in table 30. The intervals are ours:

# %%
printed = published.table("table30")
log_mean = published.estimate("fig18", "jetson mean inference seconds", "value").value
show.table(
    {name: {"accuracy": published.estimate("table30", name, "accuracy")} for name in printed.index}, first="table 30"
)

# %%
for name, seconds in printed["seconds_per_image"].items():
    print(f"{name:12} {seconds:.2f} s per image by table 30")
print(f"{'Jetson Nano':12} {log_mean:.4f} s per image by the log of figure 18, over all 100 images")

# %% [markdown]
# Two things do not fit. The log's mean is 0.13 s, the table's 0.11 s, and the text uses the smaller one when it calls
# the board twice as fast as the PC. And the same network on the same images should have the same accuracy: 0.83 and
# 0.90 differ by seven images of a hundred, which no list names. Their intervals overlap; the report does not say
# whether the images were the same.
#
# ## 2. A bundle for the board
#
# The report's conversion failed several times. Here a network is converted (ONNX at opset 13, which the Nano's TensorRT
# 8.2 reads). Then it and the original predict the same simulated images. Where a probability differs by more than is
# allowed, the export fails and writes nothing. `int8` is calibrated on images of other patients.

# %%
bundles = [
    deploy.export(MODEL, out / precision, target="jetson-nano", precision=precision) for precision in deploy.PRECISIONS
]
show.device.exports(bundles)

# %% [markdown]
# Half the bits halve the file. int8 needs less than a third, and changes probabilities by more. The bundle for the
# board is a folder: the network, its description with the measured agreement, and a runner of one file:

# %%
bundle = bundles[0]
for path in sorted(bundle.folder.iterdir()):
    print(f"{path.name:12} {path.stat().st_size:>10,} bytes")

# %% [markdown]
# ## 3. The board
#
# What does it have? The runner is sent to its Python and prints it; nothing stays there.

# %%
device = deploy.probe(board)
for key in ("machine", "model", "cores", "python", "numpy", "pillow", "engines", "tegrastats"):
    print(f"{key:12} {device[key]}")
print(f"{'memory':12} {device['free_mb']:,.0f} MB free")

# %% [markdown]
# Before anything is copied, a dry run prints each command:

# %%
_ = deploy.install(replace(board, dry=True), bundle.folder)

# %% [markdown]
# A copy is verified by its sha256, and appears whole or not at all. The second time nothing is sent:

# %%
for _ in range(2):
    place, copied = deploy.install(board, bundle.folder)
    print(f"{place}: {copied:,} bytes copied")

# %% [markdown]
# ### Figures 18 and 19: a run on the board
#
# The original runs here over the same images, in the same call. First the board's log, in the report's form:

# %%
quiet = replace(board, say=lambda line: None)
found = deploy.table30(quiet, bundle.folder, MODEL, out / "table30", most=FILMS)
log = (found.board.folder / "log.txt").read_text(encoding="utf-8").splitlines()
print(*log[-10:], sep="\n")

# %% [markdown]
# The report's figure 18 ends so:
#
# ```
# inference-96 normal_1452.jpeg result: [[0.88145405 0.13342877]]
# needed time in inference-96: 0.1041111946105957
# inference-97 covid_353.png result: [[0.27577937 0.7222175 ]]
# needed time in inference-97: 0.10593724250793457
# inference-98 covid_171.png result: [[0.76930964 0.24047647]]
# needed time in inference-98: 0.10903596878051758
# inference-99 covid_322.jpg result: [[0.3474365 0.66880035]]
# needed time in inference-99: 0.13952875137329102
# average inference time: 0.13060351848602295
# ACC : 0.83
# ```
#
# There the second number is the probability of COVID-19, here it is the first. One of its four images, `covid_171.png`,
# is predicted wrongly. And its pairs do not add up to 1, as those of two classes that exclude each other should.
#
# What happened to memory, which ended the report's runs?

# %%
memory = found.board.result["memory_mb"]
print(f"with the runtime imported {memory['with_runtime']:.0f} MB, at most {memory['peak']:.0f} MB")
for fallback in found.board.result["fallbacks"] or ["no fallback was needed"]:
    print(fallback)

# %% [markdown]
# Before it loads anything, the runner compares the memory that the network may need with what is free. A network that
# does not fit is not loaded: the runner falls back to half precision, to single images, to the processor, and notes it.
#
# ## 4. The PC, and table 30
#
# Figure 20 is the PC's run. It reads and prepares images with cxrkit's own code, the board with the runner's:

# %%
log = (found.here.folder / "log.txt").read_text(encoding="utf-8").splitlines()
print(*log[-6:], sep="\n")

# %%
show.device.times(found, title="Time of an image", note=board.simulated, simulated=True)

# %% [markdown]
# The times of a SIMULATED board are those of a machine that may have other work: run this twice before you believe a
# ratio.
#
# ### Table 30

# %%
show.device.table30(found)

# %%
rows = show.device.with_report(found).rename(columns={"machine": "name", "accuracy": "value", "images": "n"})
show.forest(rows, reference=None, xlabel="accuracy", title="Table 30, with intervals", simulated=True)

# %% [markdown]
# The report's rows are of real images and another network: compare only the two upper rows with each other, and only
# the two lower ones. The report did not compare the predictions image by image:

# %%
columns = {f"prob_{COVID}_here": "on the PC", f"prob_{COVID}_board": "on the board", "truth_here": "truth"}
both = found.here.table.merge(found.board.table, on="image", suffixes=("_here", "_board")).rename(columns=columns)
both["truth"] = both["truth"].replace("", "other")
both["other predicted label"] = both["image"].isin(found.agreement.changed)
figure = show.figure(5.6, 5.4, title=f"Probability of {COVID}, each image", simulated=True)
axis = figure.subplots()
sns.scatterplot(both, x="on the PC", y="on the board", hue="truth", style="other predicted label", s=40, ax=axis)
axis.axline((0, 0), slope=1, color="grey", linewidth=0.8)
for draw in (axis.axvline, axis.axhline):
    draw(network.thresholds[COVID], color="black", linewidth=1, linestyle="--")
figure

# %%
show.device.verdict(found)

# %% [markdown]
# The other precisions were compared with the original when they were exported. How much do eight bits change a
# probability?

# %%
for each in bundles:
    agreement = each.agreement
    print(f"{each.info['models'][0]['precision']}: {agreement.mean:.2g} on average, {agreement.largest:.2g} at most;")
    print("   another predicted label:", ", ".join(agreement.changed) or "none")

# %% [markdown]
# ## 5. Where accuracy can be lost
#
# If the network is the same, its input must differ. A board seldom has the PC's libraries, so somebody writes the
# reading and resizing again. Three mistakes, on the test images:

# %%
test = read_manifest(split="test")
films = [read(test.root / name).pixels for name in test.rows["image"]]
side, truth = (network.input_size,) * 2, test.rows["covid"].to_numpy(bool)
ways = {
    "as on the PC": [network.prepare(film) for film in films],
    "nearest pixels, no averages": [cv2.resize(film, side, interpolation=cv2.INTER_NEAREST) for film in films],
    "bones dark": [1 - network.prepare(film) for film in films],
    "four grey levels in five lost": [np.round(network.prepare(film) * 51) / 51 for film in films],
}

# %%
shares = {}
for way, prepared in ways.items():
    # In small batches: all images together would take 500 MB.
    batches = np.split(np.float32(prepared), 12)
    probs = np.concatenate([network.predict(batch, prepared=True)[:, 0] for batch in batches])
    positive = probs >= network.thresholds[COVID]
    shares[way] = metrics.proportion(positive == truth, test.rows["patient_id"].to_numpy(str))
show.forest(shares, reference=None, xlabel="accuracy", title="One network, other preparations", simulated=True)

# %% [markdown]
# Another preparation can cost as much as the report lost, or nothing that an accuracy shows, and no error is raised.
# That is why tests compare the runner's pixels with the PC's, and why the comparison above lists images and not only
# shares. Nobody can know whether the report lost its images here: it prints no list.
#
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
seconds = {
    "board": found.board.result["seconds"]["inference"]["mean"],
    "PC": found.here.result["seconds"]["inference"]["mean"],
}
print(
    f"Board and PC predict other labels for {len(found.agreement.changed)} of {found.agreement.images} images;", end=" "
)
print(f"their probabilities differ by at most {found.agreement.largest:.2g}.")
print(f"The inference of an image takes {1000 * seconds['board']:.1f} ms on the board", end=" ")
print(f"and {1000 * seconds['PC']:.1f} ms on the PC; the report has 110 (or 131) and 220.")
print(f"The board used {memory['peak']:.0f} MB at most.")
print(board.simulated or f"The board is {device['model'] or HOST}.")
worst = min(shares, key=lambda way: shares[way].value)
print(
    f"Prepared otherwise ({worst}), the same network has an accuracy of {shares[worst].value:.3f} instead of", end=" "
)
print(f"{shares['as on the PC'].value:.3f}.")
show.disclaimer(simulated=True, not_shown=sorted(network.not_shown))

# %% [markdown]
# In a terminal, the same commands are:
#
# ```
# cxrkit model export covid-small --target jetson-nano --out bundle
# cxrkit jetson probe nano
# cxrkit jetson compare nano --bundle bundle --model covid-small
# ```
#
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** By the mean of the log, how many times as fast as the report's PC (0.22 s) is its board? Give two digits.

# %%
answer = None
check_answer("10.1", answer, board=log_mean, pc=float(printed["seconds_per_image"]["PC"]))

# %% [markdown]
# **2.** Which part of an image's time is the largest on the board of this run: `"reading"`, `"preprocessing"` or
# `"inference"`?

# %%
answer = None
check_answer("10.2", answer, seconds=found.board.result["seconds"])

# %% [markdown]
# **3.** The report's PC predicts 90 of 100 images correctly, its board 83 of the same. For how many images, at the very
# least, must their predictions differ?

# %%
answer = None
check_answer("10.3", answer)
