# %% [markdown]
# # A board: the same network beside the bed
#
# The report of 2020 ends on a Jetson Nano, a board of the size of a hand. Its COVID-19 network ran there after several
# failures of conversion, and after the board had ended it for want of memory, while loading and while answering. Then
# figure 18 shows its log, and table 30 sets the board beside a PC: accuracy 0.83 against 0.90, and the report does not
# say where the seven films went.
#
# **What you will see**
#
# 1. what the report printed (figures 18 to 20, table 30), and what does not fit together in it;
# 2. a network made into a bundle for the board, in three precisions, and what each costs;
# 3. the board: what it has, copying over SSH, a run with its log (figures 18 and 19);
# 4. the PC on the same films (figure 20), and table 30, film by film;
# 5. where films can be lost: how they are prepared.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
import shutil
from pathlib import Path

import cv2
import numpy as np

from cxrkit import deploy, metrics, networks
from cxrkit.course import check_answer, published
from cxrkit.data import course_images, course_manifest
from cxrkit.film import read
from cxrkit.labels import COVID
from cxrkit.show import _device as device_report
from cxrkit.show import _report as report

# %% [markdown]
# `HOST` is a board as `ssh` calls it: a name of your SSH configuration, or user@host. Your keys, agent and known_hosts
# are used; there is no place for a password. `PYTHON` is the Python there that has numpy and a runtime.
#
# With `HOST = None` there is no board, and this machine stands in for one: an OpenSSH server on loopback with a folder
# as its home, `MEMORY_MB` of address space and a Python that has numpy and ONNX Runtime alone. Where no such server can
# be started, as on Binder, the folder is used without SSH. What is measured then is **this machine, not a Jetson**.

# %% tags=["parameters"]
HOST = None
PYTHON = "python3"
MEMORY_MB = 1024
MODEL = "covid-small"
FILMS = 100
OUT = "runs/10_jetson"

# %%
out = Path(OUT)
for precision in deploy.PRECISIONS:
    # An export writes into no folder that holds something.
    shutil.rmtree(out / precision, ignore_errors=True)
board = deploy.Board(HOST, python=PYTHON) if HOST else deploy.stand_in(out / "stand-in", memory_mb=MEMORY_MB)
network = networks.load(MODEL)
note = "The board is SIMULATED by this machine." if board.words else ""
print(board.words or f"the board {HOST}")

# %% [markdown]
# ## 1. What the report printed
#
# Figure 17 shows the board, figures 19 and 20 show it and the PC at work. The numbers are in figure 18, a log with two
# lines for each of 100 films and a mean at its end, and in table 30. The intervals are ours:

# %%
printed = published.table("table30")
log_mean = published.estimate("fig18", "jetson mean inference seconds", "value").value
report.metrics_table(
    {name: {"accuracy": published.estimate("table30", name, "accuracy")} for name in printed.index}, first="table 30"
)

# %%
for name, seconds in printed["seconds_per_image"].items():
    print(f"{name:12} {seconds:.2f} s a film by table 30")
print(f"{'Jetson Nano':12} {log_mean:.4f} s a film by the log of figure 18, over all 100 films")

# %% [markdown]
# Two things do not fit. The log's mean is 0.13 s, the table's 0.11 s, and the text takes the smaller one when it calls
# the board twice as fast as the PC. And the same network on the same films should have the same accuracy: 0.83 and 0.90
# are seven films of a hundred, which no list names. Their intervals overlap; whether they are the same films is not
# said.
#
# ## 2. A bundle for the board
#
# The report's conversion failed several times. Here a network is converted (ONNX at opset 13, which the Nano's TensorRT
# 8.2 reads), then it and the original answer about the same simulated films; where a probability differs by more than
# is allowed, the export fails and writes nothing. `int8` is calibrated on films of other patients.

# %%
bundles = [
    deploy.export(MODEL, out / precision, target="jetson-nano", precision=precision) for precision in deploy.PRECISIONS
]
device_report.exports(bundles)

# %% [markdown]
# Half the bits halve the file; int8 needs less than a third, and moves probabilities by more. What goes to the board is
# a folder: the network, what it is and how it was measured, and a runner of one file:

# %%
bundle = bundles[0]
for path in sorted(bundle.folder.iterdir()):
    print(f"{path.name:12} {path.stat().st_size:>10,} bytes")

# %% [markdown]
# ## 3. The board
#
# What does it have? The runner is sent through the link and answers; nothing stays there.

# %%
said = deploy.probe(board.host, config=board.config, python=board.python)
for key in ("machine", "model", "cores", "python", "numpy", "pillow", "engines", "tegrastats"):
    print(f"{key:12} {said[key]}")
print(f"{'memory':12} {said['free_mb']:,.0f} MB to be had")

# %% [markdown]
# Before anything is copied, a dry run says each command:

# %%
_ = deploy.install(board.host, bundle.folder, config=board.config, dry=True)

# %% [markdown]
# The copy itself goes on where it was broken off, is verified by its sha256, and appears as a whole or not at all. A
# second time nothing is sent:

# %%
for _ in range(2):
    done = deploy.install(board.host, bundle.folder, config=board.config)
    print(f"{done.path}: {done.copied:,} bytes copied")

# %% [markdown]
# ### Figures 18 and 19: a run on the board
#
# The original runs here over the same films, in the same call. First the board's log, in the report's form:

# %%
found = deploy.table30(
    board.host,
    bundle.folder,
    MODEL,
    out / "table30",
    films=FILMS,
    config=board.config,
    python=board.python,
    say=lambda line: None,
)
print(device_report.log(found.board))

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
# There the second number is that of COVID-19, here it is the first. Of its four films one, `covid_171.png`, is called
# wrongly. And its pairs do not add up to 1, as those of two classes that exclude one another should.
#
# What happened to memory, which ended the report's runs?

# %%
memory = found.board.result["memory_mb"]
print(f"with the runtime imported {memory['with_runtime']:.0f} MB, at most {memory['peak']:.0f} MB")
for fallback in found.board.result["fallbacks"] or ["no fallback was needed"]:
    print(fallback)

# %% [markdown]
# Before it loads anything, the runner holds what the network may take against what is free. What does not fit is not
# tried: it goes on to half precision, to single films, to the processor, and says so.
#
# ## 4. The PC, and table 30
#
# Figure 20 is the PC's run. It reads and prepares films with cxrkit's own code, the board with the runner's:

# %%
print(device_report.log(found.here, last=2))

# %%
runs = {"board": found.board, "PC": found.here}
report_seconds = {f"report: {name}": value for name, value in printed["seconds_per_image"].items()}
device_report.times(
    runs,
    report_seconds,
    title="What a film costs",
    note=note,
    simulated=True,
)

# %% [markdown]
# Without Pillow the stand-in decodes PNG in numpy, which is most of its preprocessing. And its seconds are those of a
# machine that may have other work: run this twice before you believe a ratio.
#
# ### Table 30

# %%
device_report.table30(found)

# %%
report.intervals(
    device_report.accuracies(found), reference=None, xlabel="accuracy", title="Table 30, with intervals", simulated=True
)

# %% [markdown]
# The report's rows are of real films and another network: only the two upper rows may be compared with one another, and
# only the two lower ones. What the report did not do is to lay the answers side by side, film by film:

# %%
device_report.answers(
    found,
    COVID,
    network.thresholds[COVID],
    title="Each film on the board and on the PC",
    note=note,
    simulated=True,
)

# %%
device_report.verdict(found)

# %% [markdown]
# The other precisions were laid beside the original when they were exported. How far is a film moved by eight bits?

# %%
for each in bundles:
    agreement = each.agreement
    print(f"{each.info['models'][0]['precision']}: {agreement.mean:.2g} on average, {agreement.largest:.2g} at most;")
    print("   called otherwise:", ", ".join(agreement.changed) or "none")

# %% [markdown]
# ## 5. Where films can be lost
#
# If the network is the same, what differs is what it is shown. A board seldom has the PC's libraries, and so somebody
# writes the reading and resizing anew. Three ways to do that otherwise, on the test films:

# %%
rows = course_manifest().query("split == 'test'")
root = course_images("test").parent
films = [read(root / name).pixels for name in rows["image"]]
side, truth = (network.input_size,) * 2, rows["covid"].to_numpy(bool)
ways = {
    "as on the PC": [network.prepare(film) for film in films],
    "nearest pixels, no averages": [cv2.resize(film, side, interpolation=cv2.INTER_NEAREST) for film in films],
    "bones dark": [1 - network.prepare(film) for film in films],
    "four grey levels in five lost": [np.round(network.prepare(film) * 51) / 51 for film in films],
}

# %%
shares = {}
for way, prepared in ways.items():
    probs = network.predict(np.float32(prepared), prepared=True)[:, 0]
    called = probs >= network.thresholds[COVID]
    shares[way] = metrics.proportion(called == truth, rows["patient_id"].to_numpy(str))
report.intervals(shares, reference=None, xlabel="accuracy", title="The same network, shown otherwise", simulated=True)

# %% [markdown]
# A preparation that differs can cost as much as the report lost, or nothing that shows in a share, and no error is
# raised. That is why the runner is held to the PC's pixels in the tests, and why the comparison above lists films and
# not only shares. Whether this is where the report lost its films cannot be known: it prints no list.
#
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
seconds = {name: run.result["seconds"]["inference"]["mean"] for name, run in runs.items()}
print(f"Of {found.agreement.films} films board and PC call {len(found.agreement.changed)} otherwise;", end=" ")
print(f"their probabilities differ by at most {found.agreement.largest:.2g}.")
print(f"A film's inference takes {1000 * seconds['board']:.1f} ms on the board", end=" ")
print(f"and {1000 * seconds['PC']:.1f} ms on the PC; the report has 110 (or 131) and 220.")
print(f"The board took {memory['peak']:.0f} MB at most.")
print(board.words or f"The board is {said['model'] or HOST}.")
worst = min(shares, key=lambda way: shares[way].value)
print(f"Shown otherwise ({worst}), the same network has {shares[worst].value:.3f} instead of", end=" ")
print(f"{shares['as on the PC'].value:.3f} of the films right.")
report.disclaimer(simulated=True, not_shown=sorted(network.not_shown))

# %%
board.close()

# %% [markdown]
# In a terminal the same is:
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
# **1.** By the mean of the log, how many times as fast as the report's PC (0.22 s) is its board? Two digits.

# %%
answer = None
check_answer("10.1", answer, board=log_mean, pc=float(printed["seconds_per_image"]["PC"]))

# %% [markdown]
# **2.** Which part of a film's time is the largest on the board of this run: `"reading"`, `"preprocessing"` or
# `"inference"`?

# %%
answer = None
check_answer("10.2", answer, seconds=found.board.result["seconds"])

# %% [markdown]
# **3.** The report's PC has 90 of 100 films right, its board 83 of the same. On how many films must the two differ at
# the very least, and would a list have had to name?

# %%
answer = None
check_answer("10.3", answer)
