# %% [markdown]
# # Heat maps: where does the network look?
#
# The report of 2020 lets its 14-finding network do two things before it turns to COVID-19. It writes what it calls on
# each film into a spreadsheet (figure 5), and it draws heat maps beside the box that a radiologist drew, for eight
# findings, one better and one worse example each (table 3).
#
# **What you will see**
#
# 1. the spreadsheet, from any network and any list of films;
# 2. the heat maps of table 3, with examples chosen by a rule and not by eye;
# 3. how often such a map points to the right place, with intervals;
# 4. five methods of drawing maps, compared on the same films;
# 5. what a map does not show.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup
#
# One request to TensorFlow, which is loaded where the methods begin that need it: leave out the kernels that round
# otherwise from one processor to the next.

# %%
import os

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

from pathlib import Path

import pandas as pd
from IPython.display import display

from cxrkit import explain, metrics, networks, show, triage
from cxrkit.course import check_answer, published
from cxrkit.data import course_boxes, course_images, course_manifest, read_manifest
from cxrkit.film import read
from cxrkit.labels import FINDINGS, split_findings
from cxrkit.widgets import FilmPanel

# %% [markdown]
# By default the notebook takes the 120 simulated test films of the course, whose boxes the simulator knows, and the
# small network that comes with cxrkit. For films of your own set all three:
#
# - `MANIFEST`: a CSV with a row per film (`image`, `patient_id`, `findings`), paths relative to its folder;
# - `BOXES`: a CSV with `image, finding, x, y, w, h` as fractions of the picture; or ChestX-ray14's
#   `BBox_List_2017.csv`, then with `BOXES_WIDTH_PX = 1024`;
# - `MODEL`: a model folder.

# %% tags=["parameters"]
MANIFEST = None
BOXES = None
BOXES_WIDTH_PX = None
MODEL = "findings14-small"
OUT = "runs/03_findings_heatmaps"

# %%
simulated = MANIFEST is None
if simulated:
    root, films = course_images("test").parent, course_manifest().query("split == 'test'")
    boxes = course_boxes("test")
else:
    root, films = Path(MANIFEST).parent, read_manifest(MANIFEST).frame
    boxes = read_manifest(BOXES, root=root, need=("findings", "x")).boxes
    if BOXES_WIDTH_PX:
        boxes = boxes.assign(unit="fraction", **boxes[list("xywh")] / BOXES_WIDTH_PX)
predictor = networks.load(MODEL)
print(f"{len(films)} films of {films['patient_id'].nunique()} patients; {len(boxes)} boxes; network {predictor.name}")

# %% [markdown]
# ## Figure 5: the spreadsheet
#
# One row for each film; the label is every finding whose probability reaches that finding's threshold. The report
# joins findings by spaces, so that in its figure 16 *Pleural Thickening* reads like two; here a bar stands between
# them, as in ChestX-ray14's own files. In a spreadsheet the columns of probabilities can be sorted.

# %%
answers = triage.predict_manifest(predictor, films, root)
Path(OUT).mkdir(parents=True, exist_ok=True)
path = triage.write_table(answers, Path(OUT, "predictions.csv"))
print(f"{path}: {len(answers)} rows, {(answers['status'] == 'ok').sum()} with an answer")

# %%
columns = ["Image Index", "Predict label"]
printed = published.spreadsheets().query("figure == 5")[columns]
display(show.table(printed, title="The report's figure 5"))
show.table(answers[columns], rows=len(printed), title="The same here: predictions.csv", model=True)

# %% [markdown]
# The report prints names and labels and no truth. A manifest has the truth, and then a first question can be asked of
# the list: how long should it be? A network whose thresholds favour sensitivity calls more than there is.

# %%
per_film = pd.DataFrame(
    {
        "the report's figure 5, called": printed["Predict label"].map(lambda text: len(text.split())).describe(),
        "here, called": answers["Predict label"].map(lambda text: len(split_findings(text))).describe(),
        "here, true": films["findings"].map(lambda text: len(split_findings(text))).describe(),
    }
)
show.table(per_film.loc[["count", "mean", "max"]].rename_axis("findings a film").reset_index())

# %% [markdown]
# ## Table 3: heat maps beside the truth
#
# The report shows the eight findings for which ChestX-ray14 has boxes. We draw *class activation maps*: the network
# ends in an average over places and one weighted sum, so each place's share of a finding's logit can be read off.
# No TensorFlow is needed. A map is resized to the film, cut below 0 and divided by its largest value.
#
# Every film with a box is scored, whether or not the network calls the finding on it:
#
# - *pointing game*: does the hottest place lie in a box?
# - *energy inside*: which share of all heat lies in the boxes?
# - *mask IoU at 0.5*: the places with at least half of the greatest heat, held against the boxes: intersection over
#   union.

# %%
boxed = list(explain.films_with_boxes(boxes, root, films))
scores = explain.score_films(predictor, boxed)
scores = scores.sort_values("finding", key=lambda names: names.map(FINDINGS.index), kind="stable")
print(f"{scores['film'].nunique()} maps on {len(boxed)} films")

# %% [markdown]
# The report does not say how its better and worse examples were found. Here a rule does it: a finding's films are put
# in order by mask IoU at 0.5; the *better* example stands a quarter of the way from the best, the *worse* one a quarter
# from the worst. The very best and the very worst would show luck.

# %%
table3 = [name for name in FINDINGS[:8] if name in set(scores["finding"])]
examples = explain.examples(predictor, boxed, scores[scores["finding"].isin(table3)])
show.heat_maps(
    [example.film for example in examples],
    [example.finding for example in examples],
    {"cam": [example.heat for example in examples]},
    captions=[f"{one.which}: mask IoU {one.value:.2f}, p {one.prob:.2f}" for one in examples],
    across=2,
    title="Table 3: class activation maps, the truth in blue",
    simulated=simulated,
)

# %% [markdown]
# Look at the *p* over the maps: it is the network's probability. A worse map does not mean that the network missed the
# finding.
#
# ## How often is the place right?
#
# Eight pairs are pictures, no measurement. This is one, over every map. The vertical mark is what an even map would
# reach: a large box is easily hit.

# %%
by_finding = metrics.localisation_table(scores, by=("finding",), seed=0)
not_shown = [name for name in FINDINGS if name in predictor.not_shown]
hits, area = (
    by_finding[by_finding["measure"] == measure].set_index("finding") for measure in ("pointing game", "box area")
)
show.forest(
    hits.assign(even=area["value"]).rename_axis("name").reset_index(),
    xlabel="pointing game: share of maps that are hottest in a box",
    reference=None,
    marks=("even",),
    marks_name="an even map (area of the boxes)",
    not_shown=not_shown,
    simulated=simulated,
)

# %%
columns = {
    "pointing game": ("pointing game", None),
    "energy inside": ("energy inside", None),
    "mask IoU at 0.5": ("mask IoU", 0.5),
    "box area": ("box area", None),
}
show.table(by_finding, by=("finding",), columns=columns)

# %% [markdown]
# Few patients, wide intervals. Over all findings together:

# %%
overall = metrics.localisation_table(scores, by=("method",), seed=0)
show.table(overall, by=("method",), columns=columns)

# %% [markdown]
# ## Five methods
#
# The other methods ask for gradients, or ask the network again and again, and need the Keras model:
#
# | method | what it shows |
# |---|---|
# | `cam` | each place's share of the logit |
# | `grad-cam` | the last feature maps, weighed by the logit's mean gradient |
# | `grad-cam++` | the same with a weight for each place, of positive gradients alone |
# | `score-cam` | the feature maps, weighed by the network's probability when it sees the film through each |
# | `saliency` | the size of the logit's gradient at each pixel |
#
# Let all five explain the first film of each finding of table 3: not the examples above, which were chosen by the
# scores of `cam` and would favour it. Score-CAM takes longest; it is given 16 of the feature maps.

# %%
from cxrkit import networks

networks.start_tensorflow()
explainer = explain.explainer(MODEL, score_cam_channels=16)
sources = {method: predictor if method == "cam" else explainer for method in explain.METHODS}
by_name = {film.name: film for film in boxed}
first = scores[scores["finding"].isin(table3)].drop_duplicates("finding")[["image", "finding"]]
lesions = [by_name[image].only(finding) for image, finding in first.itertuples(index=False)]
compared = explain.compare(sources, lesions)

# %%
shown = lesions[-3:]
findings = [finding for film in shown for finding in film.boxes]
maps = {
    method: [
        explain.heat_maps(source, [film.pixels], [finding], method=method)[0][0]
        for film, finding in zip(shown, findings, strict=True)
    ]
    for method, source in sources.items()
}
show.heat_maps(shown, findings, maps, simulated=simulated)

# %% [markdown]
# `cam` and `grad-cam` are the same picture, and no accident: behind average pooling and one dense layer the gradient of
# the logit *is* the dense layer's weight. In networks with a longer head they differ. Saliency is single pixels, hard
# to see at this size; the other maps are as coarse as the network's last feature maps.

# %%
show.table(metrics.localisation_table(compared, by=("method",), seed=0), by=("method",), columns=columns)

# %% [markdown]
# The films are the same for every method, so the difference on each film says more than two averages do. An interval
# that holds 0 is compatible with no difference. Where no film differs it reads 0 (0 to 0): eight films without a
# difference, which is no proof that there is none.

# %%
show.table(explain.differences(compared, "cam", seed=0), first="method minus cam")

# %% [markdown]
# With so few films most intervals are wide. On 280 simulated films, 20 for each finding and each with that finding
# alone, the same network gave (2026-11-23, `python benchmarks/localisation.py`, Score-CAM with 64 feature maps,
# docs/results):
#
# | method | pointing game | energy inside | mask IoU at 0.5 |
# |---|---:|---:|---:|
# | cam, grad-cam | 0.732 (0.677 to 0.781) | 0.447 (0.415 to 0.478) | 0.319 (0.294 to 0.344) |
# | grad-cam++ | 0.739 (0.685 to 0.787) | 0.336 (0.308 to 0.364) | 0.337 (0.313 to 0.362) |
# | score-cam | 0.482 (0.424 to 0.541) | 0.250 (0.225 to 0.276) | 0.208 (0.189 to 0.226) |
# | saliency | 0.625 (0.567 to 0.680) | 0.307 (0.279 to 0.335) | 0.007 (0.006 to 0.009) |
# | an even map | 0.150 | 0.150 | |
#
# And on real images? There are 44 boxes on films of ChestX-ray14 at hand, 20 of them on films that the network did not
# learn from. On these `cam` points into the box in 0.200 (0.079 to 0.422), and an even map in 0.123 (0.059 to 0.198):
# **this small network's maps are not shown to beat chance on real images.** The report prints pictures here and no
# score, so there is nothing to set beside it.
#
# ## A picker
#
# One film, one label, one method; first as a picture:

# %%
label = "Effusion" if "Effusion" in table3 else table3[0]
film = next(film for film in boxed if label in film.boxes)
heat = explain.heat_maps(explainer, [film.pixels], [label], method="grad-cam++")[0][0]
truth = {label: film.boxes_px()[label]}
show.overlay(film.pixels, heat, label=label, boxes=truth, title=film.name, simulated=simulated)

# %% [markdown]
# And the same with controls. Try a label that the film does not have: there will be a map for it too.

# %%
picked = boxed[:12]
FilmPanel(
    {film.name: film.pixels for film in picked},
    predictor,
    label=label,
    explainer=explainer,
    boxes={film.name: film.boxes_px() for film in picked},
    simulated=simulated,
)

# %% [markdown]
# ## What a map does not show
#
# ### Not how much
#
# Here is the film with the lowest probability of the same label. Its map has the same colours as any other, because
# every map is divided by its own largest value.

# %%
name = answers.loc[answers[f"prob_{label}"].idxmin(), "Image Index"]
without = read(root / name).pixels
column = predictor.labels.index(label)
probs, raw = predictor.predict_maps([film.pixels, without])
cam_with, cam_without = raw[:, column]
title = f"p {probs[1, column]:.4f}"
show.overlay(without, cam_without, label=label, title=title, simulated=simulated)

# %% [markdown]
# The same map on the scale of a film that has the finding:

# %%
scale = float(cam_with.max())
show.overlay(without, cam_without, label=label, scale=scale, title=title, simulated=simulated)

# %% [markdown]
# ### Not whether the answer is right, nor why
#
# A finding can be positive because of what lies elsewhere. Each row below is films that *have* the finding: *positive,
# outside* is a right answer with its hottest place outside of every box.

# %%
places = explain.right_places(scores)
show.table(places)

# %% [markdown]
# ### Not always what was learned
#
# A check that every method should pass (Adebayo et al. 2018): shuffle the weights of each layer, so that the network
# has learned nothing, and draw the map again. What stays the same came from the film and from the way the network is
# built, not from training.

# %%
shuffled = explain.explainer(MODEL, shuffle_seed=0)
beside = {
    f"{method}{note}": explain.heat_maps(source, [film.pixels], [label], method=method)[0]
    for method in ("grad-cam++", "saliency")
    for note, source in (("", explainer), (", shuffled", shuffled))
}
show.heat_maps([film], [label], beside, opacity=None, simulated=simulated)

# %% [markdown]
# On the course film Grad-CAM++ loses its place and lights up nearly everywhere. Saliency no longer gathers in the boxes
# but still draws the edges of the body and the ribs: that part of it was never learned.

# %% [markdown]
# ### Not finer than its cells
#
# Before it is resized, the map is coarse. Of the picture's area a cell takes one share, and a box another:

# %%
height, width = cam_with.shape
cells = height * width
area = by_finding[by_finding["measure"] == "box area"].set_index("finding")["value"].sort_values()
print(f"{height} x {width} cells, each {1 / cells:.4f} of the picture; mean area of the boxes of a film:")
show.table(area.rename("box area").round(4).astype(str).reset_index())

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
game = overall.set_index("measure").loc[["pointing game", "box area"]]
outside, called = places["positive, outside"].sum(), places[["positive, inside", "positive, outside"]].sum().sum()
worst = by_finding[by_finding["measure"] == "pointing game"].nsmallest(3, "value")["finding"]
print(f"{(answers['Predict label'] != '').sum()} of {len(answers)} films got a finding in the spreadsheet.")
print("The hottest place lies in a box in {value:.2f} ({low:.2f} to {high:.2f}) of".format(**game.iloc[0]), end=" ")
print(f"{game.iloc[0]['n']} maps; an even map would reach {game.iloc[1]['value']:.2f}.")
print(f"Of {called} right calls {outside} have their hottest place outside of every box.")
print("Least often right:", ", ".join(worst).replace("_", " "))
show.disclaimer(simulated=simulated, not_shown=not_shown)

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** How many cells of the class activation map does the smallest kind of finding cover, in the mean? Two decimals
# will do.

# %%
answer = None
check_answer("03.1", answer, area=area.iloc[0], cells=cells)

# %% [markdown]
# **2.** Of the films on which a finding is rightly called, which finding has the largest share with the hottest place
# outside of every box?

# %%
answer = None
outside = dict(zip(places["finding"], places["positive, outside"], strict=True))
called = {row["finding"]: row["positive, inside"] + row["positive, outside"] for row in places.to_dict("records")}
check_answer("03.2", answer, called=called, outside=outside)

# %% [markdown]
# **3.** The pictures leave out what speaks against the finding. Here are the probability `p` and the uncut map `cam` of
# the film of which the network is least sure. Which probability would it give if nothing counted against the finding?
# Two decimals will do.

# %%
unsure = (answers[f"prob_{label}"] - 0.5).abs().idxmin()
found, raw = predictor.predict_maps([read(root / answers.loc[unsure, "Image Index"]).pixels])
p, cam = found[0, column], raw[0, column]
print(f"p = {p:.4f}, cam has {cam.shape[0]} x {cam.shape[1]} values from {cam.min():.2f} to {cam.max():.2f}")

# %%
answer = None
check_answer("03.3", answer, prob=p, cam=cam)
