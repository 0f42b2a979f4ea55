"""Adapters, on tiny folders that look like the public sets when unpacked."""

import gzip
import zipfile

import pytest

from cxrkit.data import _datasets as datasets
from cxrkit.data import _manifest as manifest

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient {},View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def put(root, *paths, content=b"film"):
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def text(root, path, *lines):
    put(root, path, content="\n".join([*lines, ""]).encode())


def by_image(data_set):
    return data_set.frame.set_index("image")


def nih(root, films, *, gender="Sex", lists=True, images="images"):
    """Write ChestX-ray14's tables for {patient: films}, with every tenth patient in the test list."""
    names = [(patient, f"{patient:08d}_{k:03d}.png", k) for patient, count in films.items() for k in range(count)]
    rows = [f"{name},No Finding,{k},{patient},60,F,PA,2500,2048,0.1,0.1" for patient, name, k in names]
    text(root, "Data_Entry_2017_v2020.csv", NIH_HEADER.format(gender), *rows)
    if lists:
        text(root, "train_val_list.txt", *(name for patient, name, _ in names if patient % 10))
        text(root, "test_list.txt", *(name for patient, name, _ in names if not patient % 10))
    put(root, *(f"{images}/{name}" for _, name, _ in names))


def test_chestxray14_reads_its_table(tmp_path):
    text(
        tmp_path,
        "Data_Entry_2017.csv",
        NIH_HEADER.format("Gender"),
        "00000001_000.png,Effusion|Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143",
        "00000001_001.png,No Finding,1,1,058Y,M,AP,2682,2749,0.143,0.143",
        "00000002_000.png,Mass,0,2,411,F,PA,2682,2749,0.143,0.143",
    )
    text(tmp_path, "train_val_list.txt", "00000001_000.png", "00000001_001.png")
    text(tmp_path, "test_list.txt", "00000002_000.png")
    put(tmp_path, "images_001/images/00000001_000.png", "images_012/images/00000001_001.png", "00000002_000.png")
    found = datasets.chestxray14(tmp_path)
    first = by_image(found).loc["images_001/images/00000001_000.png"]
    assert first[["source", "patient_id", "follow_up", "view", "sex", "age", "covid"]].tolist() == [
        "nih", "nih-1", 0, "PA", "M", 57.0, 0,
    ]  # fmt: skip
    assert first["findings"] == "Cardiomegaly|Effusion"
    assert by_image(found).loc["images_012/images/00000001_001.png", "age"] == 58
    assert found.frame["findings"].tolist()[1] == ""
    assert found.frame["age"].isna().tolist() == [False, False, True]
    assert any("age cannot be used on 1 films" in note and "'411'" in note for note in found.notes)


def test_the_official_split_keeps_its_test_list_and_carves_val_by_patient(tmp_path):
    nih(tmp_path, {patient: 1 + patient % 4 for patient in range(1, 81)})
    found = datasets.chestxray14(tmp_path, seed=3)
    splits = found.frame.groupby("patient_id")["split"]
    assert (splits.nunique() == 1).all()
    assert set(found.frame.loc[found.frame["split"] == "test", "patient_id"]) == {f"nih-{p}" for p in range(10, 81, 10)}
    counts = found.frame["split"].value_counts()
    assert abs(counts["val"] - (counts["val"] + counts["train"]) / 8) < 8
    again = datasets.chestxray14(tmp_path, seed=3)
    assert again.frame["split"].tolist() == found.frame["split"].tolist()
    other = datasets.chestxray14(tmp_path, seed=4)
    assert other.frame["split"].tolist() != found.frame["split"].tolist()


def test_without_a_test_list_the_rest_is_test_and_a_note_says_so(tmp_path):
    nih(tmp_path, {9: 1, 10: 2, 11: 1}, gender="Gender")
    (tmp_path / "test_list.txt").unlink()
    found = datasets.chestxray14(tmp_path)
    assert found.frame.set_index("patient_id").loc["nih-10", "split"].tolist() == ["test", "test"]
    assert any("no test_list.txt" in note for note in found.notes)


def test_the_chexnet_keras_split_comes_from_its_files(tmp_path):
    nih(tmp_path, {1: 1, 2: 1, 3: 1}, lists=False)
    text(tmp_path, "dev.csv", "Image Index,Patient ID", "00000002_000.png,2")
    text(tmp_path, "test.csv", "Image Index,Patient ID", "00000003_000.png,3")
    found = datasets.chestxray14(tmp_path, split="chexnet-keras")
    assert found.frame["split"].tolist() == ["train", "val", "test"]


def test_films_without_a_file_and_files_without_a_row_are_reported(tmp_path):
    nih(tmp_path, {1: 2})
    (tmp_path / "images/00000001_001.png").unlink()
    put(tmp_path, "images/extra.png")
    found = datasets.chestxray14(tmp_path)
    assert found.frame["image"].tolist() == ["images/00000001_000.png"]
    assert found.missing["image"].tolist() == ["00000001_001.png"]
    assert found.left_out.values.tolist() == [["images/extra.png", "not in the set's table"]]
    assert any("1 of 2 films" in note for note in found.notes)


def test_gzipped_tables_are_read(tmp_path):
    nih(tmp_path, {1: 1})
    plain = tmp_path / "Data_Entry_2017_v2020.csv"
    put(tmp_path, "Data_Entry_2017_v2020.csv.gz", content=gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(datasets.chestxray14(tmp_path).frame) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"split": "mine"}, "'official' or 'chexnet-keras'; got 'mine'"), ({"val_share": 1}, "between")],
)
def test_chestxray14_refuses_what_it_does_not_know(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.chestxray14(tmp_path, **options)


def test_a_folder_without_the_table_says_what_is_looked_for(tmp_path):
    with pytest.raises(datasets.LayoutError, match=r"has no Data_Entry_2017\*.csv; pass the folder"):
        datasets.chestxray14(tmp_path)
    with pytest.raises(datasets.LayoutError, match="is no folder"):
        datasets.hannover(tmp_path / "none")


COHEN = "patientid,offset,sex,age,finding,view,modality,folder,filename,license,"


def test_covid_chestxray_keeps_frontal_films(tmp_path):
    text(
        tmp_path,
        "covid-chestxray-dataset-abc/metadata.csv",
        COHEN,
        "2,3,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,b.jpg,CC BY,",
        "2,0,M,65,Pneumonia/Viral/COVID-19,AP Supine,X-ray,images,a.jpg,,",
        "3,,F,,Pneumonia/Viral/SARS,AP semi erect,X-ray,images,c.jpg,,",
        "4,,,,No Finding,PA,X-ray,images,d.jpg,,",
        "5,,,,todo,PA,X-ray,images,e.jpg,,",
        "6,,,,Tuberculosis,PA,X-ray,images,f.jpg,,",
        "7,,,,Pneumonia/Viral/COVID-19,L,X-ray,images,g.jpg,,",
        "8,,,,Pneumonia/Viral/COVID-19,Axial,CT,volumes,h.nii.gz,,",
        "9,,,,Pneumonia,PA,X-ray,images,lost.jpg,,",
    )
    put(tmp_path, *(f"covid-chestxray-dataset-abc/images/{name}.jpg" for name in "abcdefg"))
    found = datasets.covid_chestxray(tmp_path)
    frame = by_image(found).rename(index=lambda path: path.rsplit("/", 1)[1])
    assert frame["covid"].fillna(-1).to_dict() == {
        "a.jpg": 1, "b.jpg": 1, "c.jpg": 0, "d.jpg": 0, "e.jpg": -1, "f.jpg": 0,
    }  # fmt: skip
    assert frame.loc["c.jpg", ["view", "findings", "other"]].tolist() == ["AP", "Pneumonia", "Pneumonia/Viral/SARS"]
    assert frame.loc["a.jpg", ["view", "findings", "follow_up"]].tolist() == ["AP Supine", "", 0]
    assert frame.loc["b.jpg", ["patient_id", "follow_up", "license"]].tolist() == ["cohen-2", 1, "CC BY"]
    assert found.missing["image"].tolist() == ["covid-chestxray-dataset-abc/images/lost.jpg"]
    assert found.left_out["reason"].tolist() == ["view 'L'", "modality ct"]
    assert any("1 rows have no finding yet" in note for note in found.notes)


def test_hannover_turns_the_admission_offset_into_a_day(tmp_path):
    text(
        tmp_path,
        "data.csv",
        "patient_id,image_id,sex,age,admission_offset,modality,projection",
        "042f06a9,b343e657,m,,0,CR,ap",
        "042f06a9,c9280a30,m,,-2,CR,ap",
        "0a359802,61bc50d1,f,,,DX,pa",
    )
    put(tmp_path, "png/b343e657.png", "png/c9280a30.png", "png/61bc50d1.png")
    frame = by_image(datasets.hannover(tmp_path))
    later = frame.loc["png/c9280a30.png"]
    assert later[["patient_id", "day", "follow_up", "view", "sex", "covid", "license"]].tolist() == [
        "hannover-042f06a9", "2", 1, "AP", "M", 1, "CC BY 3.0",
    ]  # fmt: skip
    assert frame["day"].tolist() == ["0", "2", ""]


def workbook(root, path, *rows):
    """A workbook as Excel writes it: shared strings for text, inline numbers."""
    strings = sorted({cell for row in rows for cell in row})
    cells = []
    for number, row in enumerate(rows, start=1):
        places = (f'<c r="{"ABCD"[k]}{number}" t="s"><v>{strings.index(cell)}</v></c>' for k, cell in enumerate(row))
        cells.append(f"<row>{''.join(places)}</row>")
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(root / path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{''.join(f'<si><t>{s}</t></si>' for s in strings)}</sst>")
        book.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{''.join(cells)}</sheetData></worksheet>"
        )


def test_the_radiography_database_with_masks_and_origins(tmp_path):
    base = "COVID-19_Radiography_Dataset"
    put(
        tmp_path,
        f"{base}/COVID/images/COVID-1.png",
        f"{base}/COVID/masks/COVID-1.png",
        f"{base}/Normal/images/Normal-1.png",
        f"{base}/Lung_Opacity/images/Lung_Opacity-1.png",
        f"{base}/Viral Pneumonia/images/Viral Pneumonia-1.png",
        f"{base}/other/x.png",
    )
    workbook(
        tmp_path / base,
        "COVID.metadata.xlsx",
        ("FILE NAME", "FORMAT", "SIZE", "URL"),
        ("COVID-1", "PNG", "256*256", "https://sirm.org"),
        ("COVID-2", "PNG", "256*256", "https://sirm.org"),
    )
    (tmp_path / base / "Normal.metadata.xlsx").write_bytes(b"no workbook")
    found = datasets.covid19_radiography(tmp_path)
    frame = by_image(found).rename(index=lambda path: path.rsplit("/", 1)[1])
    assert frame["covid"].tolist() == [1, 0, 0, 0]
    assert frame.loc["COVID-1.png", "origin"] == "https://sirm.org"
    assert frame.loc["Viral Pneumonia-1.png", ["findings", "other"]].tolist() == ["Pneumonia", "Viral Pneumonia"]
    assert frame.loc["Lung_Opacity-1.png", ["findings", "other"]].tolist() == ["", "Lung Opacity"]
    assert found.frame["patient_id"].is_unique
    assert found.missing["image"].tolist() == ["COVID-2.png"]
    assert found.left_out["reason"].tolist() == ["a lung mask", *found.left_out["reason"].tolist()[1:]]
    assert "its folder is none of covid" in found.left_out["reason"].tolist()[1]
    assert any("each film counts as a person of its own" in note for note in found.notes)
    assert any("Normal.metadata.xlsx cannot be read" in note for note in found.notes)


def test_the_radiography_database_as_first_released(tmp_path):
    base = "COVID-19 Radiography Database"
    put(tmp_path, f"{base}/COVID-19/COVID-19 (1).png", f"{base}/NORMAL/NORMAL (1).png")
    found = datasets.covid19_radiography(tmp_path)
    assert found.frame["covid"].tolist() == [1, 0]


def test_train_test_sets_do_not_claim_what_the_folder_does_not_tell(tmp_path):
    base = "xray_dataset_covid19"
    put(
        tmp_path,
        f"{base}/train/NORMAL/IM-0001-0001.jpeg",
        f"{base}/train/PNEUMONIA/a.jpeg",
        f"{base}/test/PNEUMONIA/SARS-1.jpeg",
        f"{base}/test/PNEUMONIA/new.jpeg",
    )
    found = datasets.covid19_train_test(tmp_path)
    frame = by_image(found).rename(index=lambda path: path.rsplit("/", 1)[1])
    assert frame["covid"].isna().to_dict() == {
        "IM-0001-0001.jpeg": False,
        "a.jpeg": True,
        "SARS-1.jpeg": True,
        "new.jpeg": True,
    }
    assert frame["split"].to_dict()["SARS-1.jpeg"] == "test"
    assert any("Whether the 3 PNEUMONIA films show COVID-19" in note for note in found.notes)

    text(
        tmp_path,
        "m.csv",
        COHEN,
        "2,,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpeg,,",
        "3,,,,SARS,PA,,,SARS-1.jpeg,,",
    )
    known = by_image(datasets.covid19_train_test(tmp_path, cohen_metadata=tmp_path / "m.csv"))
    known = known.rename(index=lambda path: path.rsplit("/", 1)[1])
    assert known.loc["a.jpeg", ["covid", "findings", "patient_id", "sex", "age"]].tolist() == [
        1,
        "",
        "cohen-2",
        "M",
        65.0,
    ]
    assert known.loc["SARS-1.jpeg", ["covid", "findings"]].tolist() == [0, "Pneumonia"]


def test_the_two_small_kaggle_sets(tmp_path):
    put(tmp_path, "a/dataset/covid/1.jpg", "a/dataset/normal/2.jpeg")
    assert datasets.covid19_10000(tmp_path / "a").frame["covid"].tolist() == [1, 0]
    put(
        tmp_path,
        "b/Covid19-dataset/train/Covid/01.jpeg",
        "b/Covid19-dataset/test/Viral Pneumonia/01.jpeg",
        "b/Covid19-dataset/test/Normal/0101.jpeg",
    )
    frame = datasets.covid19_image_dataset(tmp_path / "b").frame
    assert frame["split"].tolist() == ["test", "test", "train"]
    assert frame["findings"].tolist() == ["", "Pneumonia", ""]
    assert frame["covid"].tolist() == [0, 0, 1]


def test_a_folder_without_the_classes_says_what_is_looked_for(tmp_path):
    put(tmp_path, "x/1.png")
    with pytest.raises(datasets.LayoutError, match=r"no film lies in a folder train\|test/covid or normal"):
        datasets.covid19_image_dataset(tmp_path)


def test_any_table_becomes_a_manifest(tmp_path):
    text(
        tmp_path,
        "t.csv",
        "Image Index;Finding Labels;Patient ID;Patient Gender;View Position;split;day",
        'a.png;"Effusion, Infiltrate, SARS";7;female;ap;validation;3',
        "b.png;COVID-19, ARDS;;m;oblique;;",
        "gone.png;No Finding;8;;;;",
    )
    put(tmp_path, "a.png", "b.png")
    found = datasets.from_table(tmp_path / "t.csv", source="ward")
    frame = by_image(found)
    shown = ["source", "patient_id", "sex", "view", "split", "findings", "other", "day"]
    assert frame.loc["a.png", shown].tolist() == [
        "ward", "7", "F", "AP", "val", "Effusion|Infiltration", "SARS", "3",
    ]  # fmt: skip
    assert frame.loc["b.png", ["covid", "other", "view", "patient_id"]].tolist() == [1, "ARDS", "", "ward:b.png"]
    assert found.missing["image"].tolist() == ["gone.png"]
    assert any("'oblique'" in note for note in found.notes)
    assert any("1 films have no patient" in note for note in found.notes)
    manifest.write(found.frame, tmp_path / "manifest.csv")
    assert manifest.read(tmp_path / "manifest.csv")["day"].tolist() == ["3", ""]


def test_a_table_with_other_names_is_told_them(tmp_path):
    text(tmp_path, "t.csv", "Bild,Befund", "a.png,Mass")
    put(tmp_path, "a.png")
    with pytest.raises(datasets.LayoutError, match=r"no column of image paths \(Bild, Befund\)"):
        datasets.from_table(tmp_path / "t.csv")
    with pytest.raises(datasets.LayoutError, match="got image -> Foto"):
        datasets.from_table(tmp_path / "t.csv", columns={"image": "Foto"})
    found = datasets.from_table(tmp_path / "t.csv", columns={"image": "Bild", "findings": "Befund"})
    assert found.frame["findings"].tolist() == ["Mass"]
    assert any("names no patients" in note for note in found.notes)


def test_an_image_listed_twice_is_kept_once_and_noted(tmp_path):
    text(tmp_path, "t.csv", "image,patient_id", "a.png,1", "a.png,2")
    put(tmp_path, "a.png")
    found = datasets.from_table(tmp_path / "t.csv")
    assert found.frame["patient_id"].tolist() == ["1"]
    assert any("1 rows name an image that an earlier row names" in note for note in found.notes)


def test_label_counts_include_films_not_in_the_folder(tmp_path):
    text(tmp_path, "t.csv", "image,patient_id,findings,split", "a.png,1,Mass|Nodule,train", "b.png,2,Mass,test")
    put(tmp_path, "a.png")
    counts = datasets.label_counts_by_split(datasets.from_table(tmp_path / "t.csv"))
    assert counts.loc["Mass"].tolist() == [1, 0, 1]
    assert counts.loc["Nodule"].tolist() == [1, 0, 0]


def test_a_manifest_may_lie_elsewhere(tmp_path):
    nih(tmp_path / "set", {1: 1})
    (tmp_path / "lists").mkdir()
    datasets.chestxray14(tmp_path / "set").write(tmp_path / "lists/m.csv")
    frame = manifest.read(tmp_path / "lists/m.csv")
    assert frame["image"].tolist() == ["../set/images/00000001_000.png"]
    assert (tmp_path / "lists" / frame.loc[0, "image"]).is_file()
    datasets.chestxray14(tmp_path / "set").write(tmp_path / "set/m.csv")
    assert manifest.read(tmp_path / "set/m.csv")["image"].tolist() == ["images/00000001_000.png"]


GOOGLE = "Image Index,Patient ID,Set Id,Fracture,Pneumothorax,Airspace opacity,Nodule or mass\n"


@pytest.mark.parametrize("zipped", [False, True])
def test_radiologists_labels_are_read_plain_or_gzipped(tmp_path, zipped):
    text = GOOGLE + "00000013_008.png,13,test,NO,NO,YES,NO\n00000061_003.png,61,val,YES,NO,NO,YES\n"
    name = "google2019_nih-chest-xray-labels.csv"
    path = tmp_path / (name + ".gz" if zipped else name)
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    found = datasets.radiologist_labels(tmp_path)
    assert found.to_dict("list") == {
        "image": ["00000013_008.png", "00000061_003.png"],
        "patient_id": ["nih-13", "nih-61"],
        "set": ["test", "val"],
        "Fracture": [0, 1],
        "Pneumothorax": [0, 0],
        "Airspace opacity": [1, 0],
        "Nodule or mass": [0, 1],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no google2019_nih-chest-xray-labels.csv"),
        ("Image Index,Patient ID,Set Id\n", "lacks the column Fracture, Pneumothorax"),
        (GOOGLE + "a.png,1,test,NO,MAYBE,NO,NO\n", "must say YES or NO for each label; got 'MAYBE'"),
    ],
)
def test_radiologists_labels_of_another_form_are_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "google2019_nih-chest-xray-labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(datasets.LayoutError, match=message):
        datasets.radiologist_labels(tmp_path)
