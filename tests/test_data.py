"""The reader of manifests: what it takes, guesses and refuses; writing; splits by patient."""

import gzip
import re

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit import explain
from cxrkit.data import ManifestError, check_splits, course_manifest, read_manifest, split_by_patient, write_manifest
from cxrkit.data._cells import COLUMNS, VIEWS, validate
from cxrkit.labels import FINDINGS, SPLITS


def film(image="a.png", **cells):
    """One row of a manifest as a dict, all legal unless told otherwise."""
    row = {"image": image, "source": "s", "patient_id": "p1", "follow_up": 0, "view": "PA", "sex": "F", "age": 61.0}
    return row | {"covid": 0, "findings": "", "split": "", "seed": pd.NA, "sha256": "", "width": 8} | cells


def put(folder, *lines, encoding="utf-8", files=()):
    """Write a table, and empty files, by default for every cell of it that ends in .png, but not for gone.png."""
    for image in files or re.findall(r"[\w/]+\.png", "\n".join(lines)):
        if image != "gone.png":
            (folder / image).parent.mkdir(parents=True, exist_ok=True)
            (folder / image).touch()
    (folder / "m.csv").write_bytes("\n".join([*lines, ""]).encode(encoding))
    return folder / "m.csv"


def test_any_table_of_images_is_a_manifest_and_what_was_guessed_is_told(tmp_path, caplog):
    path = put(
        tmp_path,
        "Image Index;Finding Labels;Patient ID;Patient Gender;View Position;split;day;Follow-up #",
        'a.png;"Infiltrate, Effusion, SARS";7;female;ap;validation;3;2.0',
        "b.png;COVID-19, ARDS;;m;oblique;;;",
        "gone.png;no finding;8;;;;;",
    )
    found = read_manifest(path)
    frame = found.frame.set_index("image")
    assert frame.loc["a.png", "follow_up"] == 2
    shown = ["source", "patient_id", "sex", "view", "split", "findings", "other", "day"]
    assert frame.loc["a.png", shown].tolist() == ["table", "7", "F", "AP", "val", "Effusion|Infiltration", "SARS", "3"]
    assert frame.loc["b.png", ["covid", "other", "view", "patient_id"]].tolist() == [1, "ARDS", "", "table:b.png"]
    assert found.missing["image"].tolist() == ["gone.png"]
    for words in (
        "read 'Image Index' as image, 'Patient ID' as patient_id",
        "'SARS' 1",
        "no patient for 1 of 3 images",
        "column view: 1 cell not understood ('oblique')",
        f"not found in {tmp_path}: 1 of 3 images (gone.png)",
    ):
        assert any(words in note for note in found.notes)
        assert words in caplog.text


@pytest.mark.parametrize("name", ["image", "Image Index", "filename", "image_id", "ImageID", "Path", "image,filename"])
def test_a_column_of_images_is_known_by_its_usual_names_and_ours_comes_first(tmp_path, name):
    frame = read_manifest(put(tmp_path, f"patientId,{name}", f"7,a.png{',x' * name.count(',')}")).frame
    assert frame[["image", "patient_id"]].values.tolist() == [["a.png", "7"]]


@pytest.mark.parametrize(
    ("lines", "wanted", "boxes", "words"),
    [
        (  # VinDr-CXR: a row per box and reader, names without ending
            "image_id,class_name,rad_id,x_min,y_min,x_max,y_max|a,Cardiomegaly,R1,100,200,300,500|b,No finding,R1,,,,"
            "|b,Pleural effusion,R2,10,20,30,40|b,ILD,R2,10,20,10,40|a,Nodule/Mass,R2,0,0,9,9",
            [("train/a.dicom", "Cardiomegaly|Mass|Nodule", ""), ("train/b.png", "Effusion", "ILD")],
            [("train/a.dicom", "Cardiomegaly", 100, 200, 200, 300, "pixel")],
            ("of 1 images one row has a finding and another none", "1 rows hold no whole box (row 5)"),
        ),
        (  # the same, resized: the table has the size of the original image
            "image_id,class_name,x1,y1,x2,y2,width,height|a,Mass,50,300,100,600,200,1200|b,No finding,0,0,1,1,9,9",
            [("a.png", "Mass", ""), ("b.png", "", "")],
            [("a.png", "Mass", 0.25, 0.25, 0.25, 0.25, "fraction")],
            (),
        ),
        (  # RSNA: the patient's id is the image's name, width and height are the box's
            "patientId,x,y,width,height,Target|p1,264.0,152.0,213.0,379.0,1|p2,,,,,0|p1,5,6,7,8,1",
            [("stage_2/p1.dcm", "Pneumonia", ""), ("stage_2/p2.dcm", "", "")],
            [("stage_2/p1.dcm", "Pneumonia", 264, 152, 213, 379, "pixel")],
            ("'patientId' is also taken as the name of the image", "Pneumonia is where 'Target' is 1"),
        ),
        (  # ChestX-ray14's BBox_List_2017.csv: nine cells in the header, six in a row
            "Image Index,Finding Label,Bbox [x,y,w,h],,,|a.png,Infiltrate,1.5,2,30,40|b.png,Mass,1,2,3,4,,,",
            [("images_001/images/a.png", "Infiltration", ""), ("images_002/images/b.png", "Mass", "")],
            [("images_001/images/a.png", "Infiltration", 1.5, 2, 30, 40, "pixel")],
            ("'Infiltrate' as Infiltration",),
        ),
        (  # PadChest: a list in brackets; CoronaHack: a wrong spelling
            "ImageID,Labels|1_2.png,\"['pleural effusion', 'nodules', 'kyphosis']\"|3.png,['normal']|4.png,Pnemonia",
            [("0/1_2.png", "Effusion|Nodule", "kyphosis"), ("54/3.png", "", ""), ("54/4.png", "Pneumonia", "")],
            [],
            (),
        ),
        (  # SIIM-ACR: run lengths of masks, or -1
            "ImageId, EncodedPixels|1.2.3,387620 23|1.2.4, -1|1.2.3,99 23",
            [("dicom/x/y/1.2.3.dcm", "Pneumothorax", ""), ("dicom/x/z/1.2.4.dcm", "", "")],
            [],
            ("Pneumothorax is where 'EncodedPixels' holds a mask",),
        ),
        (  # CheXpert: a column per finding, paths that begin above the table's folder and name the patient
            "Path,Pleural Effusion,Edema,No Finding|C/train/patient1/s/v.jpg,1.0,,|C/train/patient2/s/v.jpg,-1.0,1,1",
            [("train/patient1/s/v.jpg", "Effusion", ""), ("train/patient2/s/v.jpg", "Edema", "")],
            [],
            ("1 cells are neither 0, 1 nor empty (-1: uncertain)", "the folder in the image's path, such as patient1"),
        ),
    ],
)
def test_tables_of_public_sets_are_joined_with_their_boxes_in_any_order(tmp_path, lines, wanted, boxes, words):
    (header, *body), files = lines.split("|"), [image for image, *_ in wanted]
    found, turned = (read_manifest(put(tmp_path, header, *rows, files=files)) for rows in (body, reversed(body)))
    frame = found.frame.assign(other=found.frame.get("other", ""))
    assert list(frame[["image", "findings", "other"]].itertuples(index=False, name=None)) == wanted
    assert list(found.boxes.itertuples(index=False, name=None))[: len(boxes)] == boxes
    for word in words:
        assert any(word in note for note in found.notes)
    for first, second, by in ((found.rows, turned.rows, "image"), (found.boxes, turned.boxes, list(found.boxes))):
        first, second = (each.sort_values(by).reset_index(drop=True) for each in (first, second))
        pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (("a.png", "b.png"), [("a.png", "table:a.png", "", -1), ("b.png", "table:b.png", "", -1)]),
        (("3 a.png pneumonia cohen", "4 b.png COVID-19 x"), [("a.png", "3", "Pneumonia", 0), ("b.png", "4", "", 1)]),
        (("3 a.png negative", "4 b.png positive"), [("a.png", "3", "", 0), ("b.png", "4", "", 1)]),
    ],
)
def test_a_list_of_files_and_those_of_covidx_need_no_header(tmp_path, lines, wanted):
    frame = read_manifest(put(tmp_path, *lines)).frame.fillna({"covid": -1})
    assert frame[["image", "patient_id", "findings", "covid"]].values.tolist() == list(map(list, wanted))


def test_the_size_of_the_original_in_chestxray14_is_not_that_of_the_file(tmp_path):
    cells = "Image Index,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],", "a.png,2682,2749,0.1,0.1,"
    frame = read_manifest(put(tmp_path, *cells)).frame
    assert frame[["width", "height"]].isna().all(axis=None)
    assert "column 6" not in frame


# image, findings, sex, day
row = st.tuples(*map(st.sampled_from, ("abc", ["Mass", "Edema|Mass", "No Finding", "ILD"], ["", "F", "M"], "12")))


@settings(max_examples=30, deadline=None)
@given(st.lists(row, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_joining_rows_does_not_depend_on_their_order_and_loses_no_word(tmp_path_factory, rows, seed):
    folder, by_image = tmp_path_factory.mktemp("t"), []
    for some in (rows, seed.sample(rows, len(rows))):
        lines = (f"{image}.png,{','.join(cells)}" for image, *cells in some)
        by_image.append(read_manifest(put(folder, "image,findings,sex,day", *lines)).rows.sort_values("image"))
    pd.testing.assert_frame_equal(*(each.reset_index(drop=True) for each in by_image), check_like=True)
    for image, cells in by_image[0].set_index("image").iterrows():
        words = {word for name, word, *_ in rows if f"{name}.png" == image}
        told = {*cells["findings"].split("|"), *cells.get("other", "").split("|")} - {""}
        assert told == {part for word in words for part in word.split("|")} - {"No Finding"}


@pytest.mark.parametrize(
    ("lines", "files", "columns", "message"),
    [
        ("image|a.png", "x/a.png y/a.png", {}, "names a.png, and there are several: x/a.png, y/a.png"),
        ("image|p1/v.png|p2/v.png", "v.png", {}, "names p1/v.png and p2/v.png, and there is v.png alone"),
        ("image|p2/v.png", "set/p1/v.png masks/p2/v.png", {}, "none of the 1 images .* --columns image="),
        ("image,covid|a.png,1|a.png,0", "a.png", {}, "row 2, covid: got '1'; legal: the same in all rows of one image"),
        ("Bild|a.png", "a.png", {"image": "Bilder"}, "columns name Bilder, which m.csv does not have; it has Bild"),
        ("Bild|a.png", "a.png", {"bild": "Bild"}, "columns must name image, source, .*; got bild"),
    ],
)
def test_what_a_name_does_not_decide_is_refused_by_name(tmp_path, lines, files, columns, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(put(tmp_path, *lines.split("|"), files=files.split()), columns=columns)


def test_a_table_without_splits_is_split_by_patient_where_they_are_needed(tmp_path):
    path = put(tmp_path, "image,patient_id", *(f"{k}.png,p{k // 2}" for k in range(20)))
    assert set(read_manifest(path).frame["split"]) == {""}
    found = read_manifest(path, need=("split",))
    check_splits(found.frame)
    assert any("split 3:1:1 by patient" in note for note in found.notes)


def test_rows_of_a_split_and_of_sources_can_be_chosen(tmp_path):
    path = put(tmp_path, "image,source,split", "a.png,x,test", "b.png,y,test", "c.png,x,train")
    assert read_manifest(path, split="test", sources=["x"]).frame["image"].tolist() == ["a.png"]
    for options, kind in (({"sources": ["z", "x"]}, "z"), ({"split": "val"}, "split val")):
        message = f"the manifest has no image of {kind}; its splits: test 2, train 1; its sources: x 2, y 1"
        with pytest.raises(ManifestError, match=message):
            read_manifest(path, **options)
    course = read_manifest(root=tmp_path, split="test")
    assert (course.name, course.root, len(course.frame)) == ("the course", tmp_path, 120)
    assert set(course.frame["split"]) == {"test"}


def test_a_table_may_have_a_byte_order_mark_and_be_gzipped(tmp_path):
    (tmp_path / "é.png").touch()
    path = put(tmp_path, "image", "é.png", encoding="utf-8-sig")
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "excel.csv").write_bytes("sep=;\r\nimage;sex\r\né.png;F\r\n".encode("utf-16"))
    for table in (path, tmp_path / "m.csv.gz", tmp_path / "excel.csv"):
        assert read_manifest(table).frame.loc[0, "image"] == "é.png"


@pytest.mark.parametrize(
    ("column", "value"),
    [("follow_up", "-1"), ("view", "oblique"), ("sex", "X"), ("age", "411"), ("seed", "1e5"), ("width", "0")],
)
def test_a_cell_that_only_describes_is_left_empty_with_a_note_and_refused_in_a_frame(tmp_path, column, value):
    rows = pd.DataFrame([film() | {column: value}])
    found = read_manifest(put(tmp_path, *rows.to_csv(index=False).splitlines()))
    assert found.notes == (f"column {column}: 1 cell not understood ({value!r}) and left empty.",)
    assert pd.isna(found.frame.loc[0, column]) or found.frame.loc[0, column] == ""
    with pytest.raises(ManifestError, match=f"row 0, {column}: got {value!r}"):
        validate(rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; it must have a header"),
        ("image,covid,findings\n", "no image of any kind; its splits: none"),
        ("image\nM\xfcller.png", "is not UTF-8, or not a whole .gz"),
        ("image,sex\na.png", "row 2: got '1 cells'; legal: 2 cells, as in the header"),
        ("image,age,age\n", "has the column 'age' twice"),
        ('image\n"a.png', "not a CSV file"),
        (
            "Bild,Befund\na.png,Mass",
            "no column of images; its first line, .*, is Bild, Befund. Rename",
        ),
        ("image,findings,sex\na.png,,F", r"lacks the column covid, .* needed here \(covid: 0, 1, or empty\); it has"),
        ("image,covid,label\na.png,1,positive", r"findings of m\.csv name none of the 14 .'positive' 1"),
        ("image,covid,findings\n\n ,1,Mass", "row 3, image: got ' '; legal: a path of one line"),
        ("image,covid,findings\n\na.png,maybe,", "row 3, covid: got 'maybe'; legal: 0, 1, or empty"),
        ("image,covid,findings\na.png,1,Effusoin|Mass", r"row 2, findings: got 'Effusoin\|Mass'; legal: Atelectasis"),
        ("image,covid,findings,split\na.png,1,,trian", "row 2, split: got 'trian'; legal: train, val, test, or empty"),
        ("image,covid,findings,sha256\na.png,1,,abc", "row 2, sha256: got 'abc'; legal: 64 hexadecimal digits"),
        ("image,covid,findings" + "\na.png,x," * 30, r"30 faults:\n  row 2(.*\n  row .*){19}\n  and 10 more"),
    ],
)
def test_a_file_that_is_no_manifest_tells_the_way_out(tmp_path, content, message):
    (tmp_path / "m.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "m.csv", need=("covid", "findings"))


@pytest.mark.parametrize("elsewhere", [True, False])
def test_every_command_takes_a_plain_table_and_stops_when_no_image_is_there(run_here, tmp_path, caplog, elsewhere):
    (tmp_path / "tables").mkdir()
    table, out = tmp_path / "tables/m.csv", tmp_path / "out"
    for k in range(11):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.random.default_rng(k).integers(0, 255, (64, 64)).astype(np.uint8))
    table.write_text("\n".join(["filename,covid,split", *(f"{k}.png,{k % 2},{SPLITS[k // 2 % 3]}" for k in range(12))]))
    for command, done in (
        (("model", "predict", "covid-small", table, "--out", f"{out}.csv"), 1),
        (("data", "check", table), 1),
        (("experiment", "data", table, "--out", out), 0),
    ):
        caplog.clear()
        code, said, complaint = run_here(*command, *(() if elsewhere else ("--root", tmp_path)))
        if elsewhere:
            assert (code, said, list(tmp_path.glob("out*"))) == (2, "", [])
            assert re.search("none of the 12 images of m.csv exists in .*name it with --root", complaint)
        else:
            assert code == done
            assert "m.csv: read 'filename' as image." in caplog.text
            assert f"not found in {tmp_path}: 1 of 12 images (11.png)" in caplog.text


def test_boxes_of_a_table_are_scored_and_built_whatever_its_columns_are_called(run_here, tmp_path):
    (tmp_path / "scans").mkdir()
    cv2.imwrite(str(tmp_path / "scans/a.png"), np.eye(50, 100, dtype=np.uint8) * 255)
    rows = "a,Mass|ILD,50,10,80,30,p1", "a,Edema,0,0,100,50,p1"
    table = put(tmp_path, "Bild,診斷,x,y,rechts,unten,病人", *rows)
    columns = {"image": "bild", "findings": "診斷", "patient_id": "病人", "x_max": "rechts", "y_max": "unten"}
    found = read_manifest(table, columns=columns)
    option = ",".join(f"{ours}={theirs}" for ours, theirs in columns.items())
    out = tmp_path / "built.csv"
    code, said, complaint = run_here("data", "build", "table", table, "--out", out, "--columns", option)
    assert (code, complaint, "built-boxes.csv: 3 boxes" in said) == (0, "", True)
    built = read_manifest(tmp_path / "built-boxes.csv").boxes
    assert read_manifest(out).frame[["image", "patient_id"]].values.tolist() == [["scans/a.png", "p1"]]
    for boxes in (found.boxes, built):
        (boxed,) = explain.films_with_boxes(boxes, found.root, found.frame)
        half = (0.5, 0.2, pytest.approx(0.3), 0.4)
        assert boxed.boxes == {"Mass": (half,), "ILD": (half,), "Edema": ((0, 0, 1, 1),)}
    with pytest.raises(ValueError, match="lies outside the image of 100 x 50 pixels"):
        list(explain.films_with_boxes(built.assign(x=99.0), found.root, found.frame))
    code, _, complaint = run_here("data", "check", table, "--columns", "Bild")
    assert (code, "it takes ours=theirs with commas, such as image=scan" in complaint) == (2, True)


def test_a_set_is_built_with_its_images_alone_and_found_from_another_folder(run_here, tmp_path):
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/metadata.csv").write_text("patientid,finding,view,filename\n1,COVID-19,PA,RA-1.jpg\n")
    table = tmp_path / "here/m.csv"
    build = "data", "build", "covid-chestxray", tmp_path / "set", "--out", table
    code, _, complaint = run_here(*build)
    assert (code, "none of the 1 images" in complaint, table.exists()) == (2, True, False)
    cv2.imwrite(str(tmp_path / "set/images/RA-1.jpg"), np.eye(64, dtype=np.uint8) * 255)
    code, _, complaint = run_here(*build)
    assert (code, complaint, "../set/images/RA-1.jpg" in table.read_text()) == (0, "", True)
    code, said, _ = run_here("data", "check", table)
    assert (code, "0 images missing" in said) == (0, True)


def test_rounds_and_sweep_refuse_shared_patients(run_here, tmp_path):
    leaky = put(tmp_path, "image,patient_id,covid,split", "a.png,p,1,val", "b.png,p,0,test", "c.png,q,0,train")
    for command in ("rounds", "sweep"):
        code, _, complaint = run_here(command, leaky, "--out", tmp_path / "out")
        assert (code, "1 patient is in more than one split (p in val and test)" in complaint) == (2, True)


texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n\0"), max_size=12)
films = st.fixed_dictionaries(
    {
        "source": texts,
        "patient_id": texts.filter(str.strip),
        "follow_up": st.none() | st.integers(0, 10**6),
        "view": st.sampled_from(["", *VIEWS]),
        "age": st.none() | st.floats(0, 120, allow_subnormal=False).map(lambda age: round(age, 2)),
        "covid": st.sampled_from([0, 1, None]),
        "findings": st.lists(st.sampled_from(FINDINGS), unique=True).map("|".join),
        "split": st.sampled_from(["", *SPLITS]),
        "seed": st.none() | st.integers(0, 2**53),
        "sha256": st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex),
        "width": st.none() | st.integers(1, 99999),
        "note": texts,
    }
)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(films, min_size=1, max_size=6))
def test_writing_then_reading_gives_the_same(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("m")
    frame = pd.DataFrame([{"image": f"{k}.png", **row} for k, row in enumerate(rows)])
    for image in frame["image"]:
        (folder / image).touch()
    write_manifest(frame, folder / "m.csv")
    first = (folder / "m.csv").read_bytes()
    back = read_manifest(folder / "m.csv").frame
    pd.testing.assert_frame_equal(back, validate(frame))
    whole = dict.fromkeys(("follow_up", "covid", "seed", "width", "height"), "Int64")
    kinds = {column: whole.get(column, "float64" if column == "age" else "object") for column in [*COLUMNS, "note"]}
    assert back.dtypes.astype(str).to_dict() == kinds
    write_manifest(back, folder / "m.csv")
    assert (folder / "m.csv").read_bytes() == first


def test_a_refused_frame_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    write_manifest(pd.DataFrame([film()]), tmp_path / "m.csv")
    before = (tmp_path / "m.csv").read_bytes()
    with pytest.raises(ManifestError, match=r"row 0, image: .*a path of one line"):
        write_manifest(pd.DataFrame([film("a\nb.png")]), tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


patient = st.tuples(st.integers(1, 6), st.sampled_from([0, 1, None]), st.sampled_from(["", "Mass", "Hernia|Mass"]))


def cohort(people):
    rows = [
        film(f"{person}-{number}.png", patient_id=f"p{person}", covid=covid, findings=findings)
        for person, (count, covid, findings) in enumerate(people)
        for number in range(count)
    ]
    return pd.DataFrame(rows)


@settings(max_examples=40, deadline=None)
@given(
    people=st.lists(patient, min_size=1, max_size=40),
    ratios=st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5)),
    seed=st.integers(0, 2**32),
    stratify=st.sampled_from([None, "covid", "findings"]),
)
def test_a_split_keeps_patients_whole_and_the_ratios_whatever_the_order(people, ratios, seed, stratify):
    frame = cohort(people)
    done = split_by_patient(frame, ratios, seed=seed, stratify=stratify)
    assert (done.groupby("patient_id")["split"].nunique() == 1).all()
    largest = max(count for count, *_ in people)
    for name, ratio in zip(SPLITS, ratios, strict=True):
        films_in = (done["split"] == name).sum()
        assert abs(films_in - len(frame) * ratio / sum(ratios)) < 2 * largest
        assert ratio or not films_in
    turned = split_by_patient(frame.iloc[::-1], ratios, seed=seed, stratify=stratify)
    pd.testing.assert_series_equal(turned["split"].sort_index(), done["split"])


def test_each_split_gets_its_share_of_covid_and_of_a_rare_finding_and_a_seed_draws_it():
    people = [(1, 1, "")] * 10 + [(1, 0, "Hernia|Mass")] * 5 + [(1, 0, "Mass")] * 35
    done = split_by_patient(cohort(people), seed=3)
    assert done[done["covid"] == 1]["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 2}
    done = split_by_patient(cohort(people), seed=3, stratify="findings")
    hernias = done[done["findings"] == "Hernia|Mass"]["split"].value_counts()
    assert hernias.to_dict() == {"train": 3, "val": 1, "test": 1}
    assert len({tuple(split_by_patient(cohort(people), seed=seed)["split"]) for seed in range(5)}) == 5


def test_what_cannot_be_split_or_trained_on_is_refused():
    rows = [film(f"{k}.png", patient_id=f"p{k}", split=split) for k, split in enumerate(SPLITS)]
    for ratios in ((3, 1), (3, -1, 1), (0, 0, 0), (1, np.nan, 1)):
        with pytest.raises(ValueError, match="three numbers >= 0"):
            split_by_patient(pd.DataFrame(rows), ratios, seed=0)
    with pytest.raises(ValueError, match="1 images have no patient_id"):
        split_by_patient(pd.DataFrame([film("b.png", patient_id="")]), seed=0)
    check_splits(pd.DataFrame(rows))
    check_splits(course_manifest())
    with pytest.raises(ManifestError, match=r"the column split has none in val\. Use the data set's official split"):
        check_splits(pd.DataFrame(rows[::2]))
    with pytest.raises(ManifestError, match=r"1 patient is in more than one split \(p0 in train and test\)"):
        check_splits(pd.DataFrame([*rows, film("x.png", patient_id="p0", split="test")]))
