"""Adapters, on tiny folders that look like the public sets when unpacked."""

import gzip

import pandas as pd
import pytest

from cxrkit.data import ADAPTERS, radiologist_labels
from cxrkit.data._sets import LayoutError

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
    found = ADAPTERS["chestxray14"](tmp_path)
    first = by_image(found).loc["images_001/images/00000001_000.png"]
    assert first[["source", "patient_id", "follow_up", "view", "sex", "age", "covid"]].tolist() == [
        "nih", "nih-1", 0, "PA", "M", 57.0, 0,
    ]  # fmt: skip
    assert first["findings"] == "Cardiomegaly|Effusion"
    assert by_image(found).loc["images_012/images/00000001_001.png", "age"] == 58
    assert found.frame["findings"].tolist()[1] == ""
    assert found.frame["age"].isna().tolist() == [False, False, True]
    assert any("column age: 1 cell not understood" in note and "'411'" in note for note in found.notes)


def test_the_official_split_keeps_its_test_list_and_carves_val_by_patient(tmp_path):
    nih(tmp_path, {patient: 1 + patient % 4 for patient in range(1, 81)})
    found = ADAPTERS["chestxray14"](tmp_path, seed=3)
    splits = found.frame.groupby("patient_id")["split"]
    assert (splits.nunique() == 1).all()
    assert set(found.frame.loc[found.frame["split"] == "test", "patient_id"]) == {f"nih-{p}" for p in range(10, 81, 10)}
    counts = found.frame["split"].value_counts()
    assert abs(counts["val"] - (counts["val"] + counts["train"]) / 8) < 8
    again = ADAPTERS["chestxray14"](tmp_path, seed=3)
    assert again.frame["split"].tolist() == found.frame["split"].tolist()
    other = ADAPTERS["chestxray14"](tmp_path, seed=4)
    assert other.frame["split"].tolist() != found.frame["split"].tolist()


def test_without_a_test_list_the_rest_is_test_and_a_note_says_so(tmp_path):
    nih(tmp_path, {9: 1, 10: 2, 11: 1}, gender="Gender")
    (tmp_path / "test_list.txt").unlink()
    found = ADAPTERS["chestxray14"](tmp_path)
    assert found.frame.set_index("patient_id").loc["nih-10", "split"].tolist() == ["test", "test"]
    assert any("no test_list.txt" in note for note in found.notes)


def test_the_chexnet_keras_split_comes_from_its_files(tmp_path):
    nih(tmp_path, {1: 1, 2: 1, 3: 1}, lists=False)
    text(tmp_path, "dev.csv", "Image Index,Patient ID", "00000002_000.png,2")
    text(tmp_path, "test.csv", "Image Index,Patient ID", "00000003_000.png,3")
    found = ADAPTERS["chestxray14"](tmp_path, split="chexnet-keras")
    assert found.frame["split"].tolist() == ["train", "val", "test"]


def test_images_without_a_file_and_files_without_a_row_are_reported(tmp_path):
    nih(tmp_path, {1: 2})
    (tmp_path / "images/00000001_001.png").unlink()
    put(tmp_path, "images/extra.png")
    found = ADAPTERS["chestxray14"](tmp_path)
    assert found.frame["image"].tolist() == ["images/00000001_000.png"]
    assert found.missing["image"].tolist() == ["00000001_001.png"]
    assert found.left_out.values.tolist() == [["images/extra.png", "not in the set's table"]]
    assert any("1 of 2 images" in note for note in found.notes)


def test_gzipped_tables_are_read(tmp_path):
    nih(tmp_path, {1: 1})
    plain = tmp_path / "Data_Entry_2017_v2020.csv"
    put(tmp_path, "Data_Entry_2017_v2020.csv.gz", content=gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(ADAPTERS["chestxray14"](tmp_path).frame) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"split": "mine"}, "'official' or 'chexnet-keras'; got 'mine'"), ({"val_share": 1}, "between")],
)
def test_chestxray14_refuses_what_it_does_not_know(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        ADAPTERS["chestxray14"](tmp_path, **options)


def test_a_folder_without_the_table_names_what_is_expected(tmp_path):
    with pytest.raises(LayoutError, match=r"has no Data_Entry_2017\*.csv; pass the folder"):
        ADAPTERS["chestxray14"](tmp_path)
    with pytest.raises(LayoutError, match="is not a folder"):
        ADAPTERS["hannover"](tmp_path / "none")


COHEN = "patientid,offset,sex,age,finding,view,modality,folder,filename,license,"


def test_covid_chestxray_keeps_frontal_images(tmp_path):
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
    found = ADAPTERS["covid-chestxray"](tmp_path)
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
    frame = by_image(ADAPTERS["hannover"](tmp_path))
    later = frame.loc["png/c9280a30.png"]
    assert later[["patient_id", "day", "follow_up", "view", "sex", "covid", "license"]].tolist() == [
        "hannover-042f06a9", "2", 1, "AP", "M", 1, "CC BY 3.0",
    ]  # fmt: skip
    assert frame["day"].tolist() == ["0", "2", ""]


def workbook(root, path, header, *rows):
    pd.DataFrame(rows, columns=header).to_excel(root / path, index=False)


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
    found = ADAPTERS["covid19-radiography"](tmp_path)
    frame = by_image(found).rename(index=lambda path: path.rsplit("/", 1)[1])
    assert frame["covid"].tolist() == [1, 0, 0, 0]
    assert frame.loc["COVID-1.png", "origin"] == "https://sirm.org"
    assert frame.loc["Viral Pneumonia-1.png", ["findings", "other"]].tolist() == ["Pneumonia", "Viral Pneumonia"]
    assert frame.loc["Lung_Opacity-1.png", ["findings", "other"]].tolist() == ["", "Lung Opacity"]
    assert found.frame["patient_id"].is_unique
    assert found.missing["image"].tolist() == ["COVID-2.png"]
    assert found.left_out["reason"].tolist() == ["a lung mask", *found.left_out["reason"].tolist()[1:]]
    assert "its folder is none of covid" in found.left_out["reason"].tolist()[1]
    assert any("each image counts as a different person" in note for note in found.notes)
    assert any("Normal.metadata.xlsx cannot be read" in note for note in found.notes)


def test_the_radiography_database_as_first_released(tmp_path):
    base = "COVID-19 Radiography Database"
    put(tmp_path, f"{base}/COVID-19/COVID-19 (1).png", f"{base}/NORMAL/NORMAL (1).png")
    found = ADAPTERS["covid19-radiography"](tmp_path)
    assert found.frame["covid"].tolist() == [1, 0]


def test_train_test_sets_claim_only_what_the_folders_tell(tmp_path):
    base = "xray_dataset_covid19"
    put(tmp_path, f"{base}/train/NORMAL/a.jpeg", f"{base}/train/PNEUMONIA/b.jpeg", f"{base}/test/PNEUMONIA/SARS-1.jpeg")
    found = ADAPTERS["covid19-train-test"](tmp_path)
    frame = by_image(found).rename(index=lambda path: path.rsplit("/", 1)[1])
    assert frame["covid"].isna().to_dict() == {"a.jpeg": False, "b.jpeg": True, "SARS-1.jpeg": True}
    assert frame["split"].to_dict() == {"a.jpeg": "train", "b.jpeg": "train", "SARS-1.jpeg": "test"}
    assert any("does not tell which PNEUMONIA images show COVID-19" in note for note in found.notes)


def test_the_two_small_kaggle_sets(tmp_path):
    put(tmp_path, "a/dataset/covid/1.jpg", "a/dataset/normal/2.jpeg")
    assert ADAPTERS["covid19-10000"](tmp_path / "a").frame["covid"].tolist() == [1, 0]
    put(
        tmp_path,
        "b/Covid19-dataset/train/Covid/01.jpeg",
        "b/Covid19-dataset/test/Viral Pneumonia/01.jpeg",
        "b/Covid19-dataset/test/Normal/0101.jpeg",
    )
    frame = ADAPTERS["covid19-image-dataset"](tmp_path / "b").frame
    assert frame["split"].tolist() == ["test", "test", "train"]
    assert frame["findings"].tolist() == ["", "Pneumonia", ""]
    assert frame["covid"].tolist() == [0, 0, 1]


def test_an_image_listed_twice_is_kept_once_and_noted(tmp_path):
    nih(tmp_path, {1: 1})
    path = tmp_path / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    found = ADAPTERS["chestxray14"](tmp_path)
    assert found.frame["image"].tolist() == ["images/00000001_000.png"]
    assert any("1 rows name an image that an earlier row names" in note for note in found.notes)


GOOGLE = "Image Index,Patient ID,Set Id,Fracture,Pneumothorax,Airspace opacity,Nodule or mass\n"


@pytest.mark.parametrize("zipped", [False, True])
def test_radiologists_labels_are_read_plain_or_gzipped(tmp_path, zipped):
    text = GOOGLE + "00000013_008.png,13,test,NO,NO,YES,NO\n00000061_003.png,61,val,YES,NO,NO,YES\n"
    name = "google2019_nih-chest-xray-labels.csv"
    path = tmp_path / (name + ".gz" if zipped else name)
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    found = radiologist_labels(tmp_path)
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
        (GOOGLE + "a.png,1,test,NO,MAYBE,NO,NO\n", "must have YES or NO for each label; got 'MAYBE'"),
    ],
)
def test_radiologists_labels_of_another_form_are_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "google2019_nih-chest-xray-labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(LayoutError, match=message):
        radiologist_labels(tmp_path)
