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
# TensorFlow greets every program with lines about the processor, which a notebook shows as errors. The first two lines
# ask it to report errors alone.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import pandas as pd

from cxrkit import app, course, datasets, engine, exercises, explain, metrics, published, report, scoring
from cxrkit.labels import FINDINGS, split_findings

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
    root, films = course.ensure("test").parent, course.manifest().query("split == 'test'")
    boxes = course.boxes("test")
else:
    root, films = Path(MANIFEST).parent, datasets.from_table(MANIFEST).frame
    boxes = explain.read_boxes(BOXES, width_px=BOXES_WIDTH_PX)
predictor = engine.load(MODEL)
print(f"{len(films)} films of {films['patient_id'].nunique()} patients; {len(boxes)} boxes; network {predictor.name}")

# %% [markdown]
# ## Figure 5: the spreadsheet
#
# One row for each film; the label is every finding whose probability reaches that finding's threshold. The report
# joins findings by spaces, so that in its figure 16 *Pleural Thickening* reads like two; here a bar stands between
# them, as in ChestX-ray14's own files. In a spreadsheet the columns of probabilities can be sorted.

# %%
answers = scoring.predict_films(predictor, films, root)
Path(OUT).mkdir(parents=True, exist_ok=True)
path = scoring.write_table(answers, Path(OUT, "predictions.csv"))
print(f"{path}: {len(answers)} rows, {(answers['status'] == 'ok').sum()} with an answer")

# %%
printed = published.predictions()
ours = report.triage_table(answers, columns=["Image Index", "Predict label"], rows=len(printed))
report.beside({"The report's figure 5": report.table(printed), "The same here: predictions.csv": ours})

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
report.table(per_film.loc[["count", "mean", "max"]].rename_axis("findings a film").reset_index())

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
print(f"{scores['film'].nunique()} maps on {len(boxed)} films")

# %% [markdown]
# The report does not say how its better and worse examples were found. Here a rule does it: a finding's films are put
# in order by mask IoU at 0.5; the *better* example stands a quarter of the way from the best, the *worse* one a quarter
# from the worst. The very best and the very worst would show luck.

# %%
table3 = [name for name in FINDINGS[:8] if name in set(scores["finding"])]
chosen = explain.choose_examples(scores[scores["finding"].isin(table3)])
chosen = chosen.sort_values("finding", key=lambda names: names.map(FINDINGS.index), kind="stable")
examples = explain.show_examples(predictor, boxed, chosen)
report.heat_map_examples(examples, title="Table 3: class activation maps, the truth in blue", simulated=simulated)

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
report.localisation_dots(by_finding, not_shown=predictor.not_shown, simulated=simulated)

# %%
columns = {
    "pointing game": ("pointing game", None),
    "energy inside": ("energy inside", None),
    "mask IoU at 0.5": ("mask IoU", 0.5),
    "box area": ("box area", None),
}
report.localisation(by_finding, columns, by=("finding",))

# %% [markdown]
# Few patients, wide intervals. Over all findings together:

# %%
overall = metrics.localisation_table(scores, by=("method",), seed=0)
report.localisation(overall, columns)

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
# One film for each finding of table 3 will do to see how they differ. Score-CAM takes longest; it is given 32 of the
# feature maps.

# %%
explainer = explain.explainer(MODEL)
sources = {method: predictor if method == "cam" else explainer for method in explain.METHODS}
better = chosen[chosen["which"] != "worse"]
by_name = {film.name: film for film in boxed}
few = [by_name[image] for image in better["image"]]
maps = {
    method: [
        explain.heat_maps(source, [film.pixels], [finding], method=method, score_cam_channels=32)[0][0]
        for film, finding in zip(few, better["finding"], strict=True)
    ]
    for method, source in sources.items()
}

# %%
four = {method: found[:4] for method, found in maps.items()}
report.heat_map_methods(few[:4], list(better["finding"])[:4], four, simulated=simulated)

# %% [markdown]
# `cam` and `grad-cam` are the same picture. It is no accident: behind average pooling and one dense layer the gradient
# of the logit *is* the dense layer's weight. Networks with a longer head differ.
