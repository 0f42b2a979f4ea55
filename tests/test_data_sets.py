"""Adapters, on tiny folders that look like the public sets when unpacked."""

import gzip

import pytest

from cxrkit.data import ADAPTERS, SOURCES, ManifestError

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def put(root, *paths, content=b"film"):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def text(root, path, *lines):
    put(root, path, content="\n".join([*lines, ""]).encode())


def by_name(data_set):
    return data_set.frame.set_index(data_set.frame["image"].str.split("/").str[-1])


def nih(root, films):
    """Write ChestX-ray14's tables for {patient: films}, with every tenth patient in test."""
    names = [(patient, f"{patient:08d}_{k:03d}.png", k) for patient, count in films.items() for k in range(count)]
    rows = [f"{name},No Finding,{k},{patient},60,F,PA,2500,2048,0.1,0.1" for patient, name, k in names]
    text(root, "Data_Entry_2017_v2020.csv", NIH_HEADER, *rows)
    text(root, "train_val_list.txt", *(name for patient, name, _ in names if patient % 10))
    put(root, *(f"images/{name}" for _, name, _ in names))


def test_chestxray14_reads_its_table_plain_or_gzipped(tmp_path):
    cells = (
        "1_000.png,Effusion|Cardiomegaly,0,1,57,M,PA",
        "1_001.png,No Finding,1,1,058Y,M,AP",
        "2_000.png,Mass,0,2,411,F,PA",
    )
    lines = [NIH_HEADER, *(f"0000000{row},2682,2749,0.143,0.143" for row in cells)]
    put(tmp_path, "Data_Entry_2017.csv.gz", content=gzip.compress("\n".join(lines).encode()))
    text(tmp_path, "train_val_list.txt", "00000001_000.png", "00000001_001.png")
    put(tmp_path, "images_001/images/00000001_000.png", "images_012/images/00000001_001.png", "00000002_000.png")
    found = ADAPTERS["chestxray14"](tmp_path)
    shown = ["image", "source", "patient_id", "follow_up", "view", "sex", "covid"]
    first = ["images_001/images/00000001_000.png", "nih", "nih-1", 0, "PA", "M", 0]
    assert by_name(found).loc["00000001_000.png", shown].tolist() == first
    assert found.frame["findings"].tolist() == ["Cardiomegaly|Effusion", "", "Mass"]
    assert found.frame["age"].fillna(-1).tolist() == [57, 58, -1]
    assert any("column age: 1 cell not understood" in note and "'411'" in note for note in found.notes)


def test_chestxray14_has_two_splits_the_official_one_with_a_val_carved_out_by_patient(tmp_path):
    nih(tmp_path, {patient: 1 + patient % 4 for patient in range(1, 81)})
    frame = ADAPTERS["chestxray14"](tmp_path).frame
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(frame.loc[frame["split"] == "test", "patient_id"]) == {f"nih-{patient}" for patient in range(10, 81, 10)}
    assert frame["split"].ne("test").sum() / 8 == pytest.approx(frame["split"].eq("val").sum(), abs=8)
    for split, patient in (("dev", 2), ("test", 3)):
        text(tmp_path, f"{split}.csv", "Image Index,Patient ID", f"{patient:08d}_000.png,{patient}")
    frame = ADAPTERS["chestxray14"](tmp_path, split="chexnet-keras").frame.query("split != 'train'")
    assert frame[["patient_id", "split"]].values.tolist() == [["nih-2", "val"], ["nih-3", "test"]]
    with pytest.raises(ValueError, match="'official' or 'chexnet-keras'; got 'mine'"):
        ADAPTERS["chestxray14"](tmp_path, split="mine")


def test_images_without_a_file_files_without_a_row_and_rows_given_twice_are_noted(tmp_path):
    nih(tmp_path, {1: 2})
    (tmp_path / "images/00000001_001.png").unlink()
    put(tmp_path, "images/extra.png", "images/.hidden.png", "__MACOSX/images/x.png")
    path = tmp_path / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    found = ADAPTERS["chestxray14"](tmp_path)
    assert found.frame["image"].tolist() == ["images/00000001_000.png"]
    assert found.missing["image"].tolist() == ["00000001_001.png"]
    assert found.left_out == (("images/extra.png", "not in the set's table"),)
    for words in ("1 of 2 images", "1 rows name an image that an earlier row names", "1 files are left out"):
        assert any(words in note for note in found.notes)


def test_another_folder_is_told_what_is_expected(tmp_path):
    for name, folder, message in (
        ("chestxray14", ".", r"has no Data_Entry_2017\*.csv; pass the folder"),
        ("hannover", "none", "is not a folder"),
        ("covid19-10000", ".", "no image lies in a folder covid, covid-19, normal"),
    ):
        with pytest.raises(ManifestError, match=message):
            ADAPTERS[name](tmp_path / folder)


def test_covid_chestxray_keeps_frontal_images(tmp_path):
    text(
        tmp_path,
        "covid-chestxray-dataset-abc/metadata.csv",
        "patientid,offset,sex,age,finding,view,modality,folder,filename,license,",
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
    frame = by_name(found)
    assert frame["covid"].fillna(-1).sort_index().tolist() == [1, 1, 0, 0, -1, 0]
    assert frame.loc["c.jpg", ["view", "findings", "other"]].tolist() == ["AP", "Pneumonia", "Pneumonia/Viral/SARS"]
    assert frame.loc["a.jpg", ["view", "findings", "follow_up"]].tolist() == ["AP Supine", "", 0]
    assert frame.loc["b.jpg", ["patient_id", "follow_up", "license"]].tolist() == ["cohen-2", 1, "CC BY"]
    assert found.missing["image"].tolist() == ["covid-chestxray-dataset-abc/images/lost.jpg"]
    assert [reason for _, reason in found.left_out] == ["view 'L'", "modality ct"]
    assert any("1 rows have no finding yet" in note for note in found.notes)


def test_hannover_turns_the_admission_offset_into_a_day(tmp_path):
    rows = ("042f06a9,b343e657,m,,0,CR,ap", "042f06a9,c9280a30,m,,-2,CR,ap", "0a359802,61bc50d1,f,,,DX,pa")
    text(tmp_path, "data.csv", "patient_id,image_id,sex,age,admission_offset,modality,projection", *rows)
    put(tmp_path, "png/b343e657.png", "png/c9280a30.png", "png/61bc50d1.png")
    frame = by_name(ADAPTERS["hannover"](tmp_path))
    later = frame.loc["c9280a30.png", ["patient_id", "day", "follow_up", "view", "sex", "covid"]].tolist()
    assert later == ["hannover-042f06a9", "2", 1, "AP", "M", 1]
    assert frame["day"].tolist() == ["0", "2", ""]


def test_sets_with_a_folder_per_class_claim_only_what_the_folders_tell(tmp_path):
    images = {
        "D/COVID/images/a.png": (1, "", "", ""),
        "D/Lung_Opacity/images/b.png": (0, "", "Lung Opacity", ""),
        "D/NORMAL/c.png": (0, "", "", ""),
        "D/Viral Pneumonia/images/d.png": (0, "Pneumonia", "Viral Pneumonia", ""),
        "x/test/PNEUMONIA/SARS-1.jpeg": (-1, "Pneumonia", "", "test"),
        "x/train/NORMAL/a.jpeg": (0, "", "", "train"),
    }
    put(tmp_path, *images, "D/COVID/masks/a.png", "D/other/x.png")
    found = ADAPTERS["covid19-train-test"](tmp_path)
    cells = found.frame.fillna(-1).set_index("image")[["covid", "findings", "other", "split"]]
    assert dict(zip(cells.index, cells.itertuples(index=False, name=None), strict=True)) == images
    assert found.frame["patient_id"].is_unique
    mask, other = found.left_out
    assert mask == ("D/COVID/masks/a.png", "a lung mask")
    assert other[1].startswith("its folder is none of covid")
    for words in ("each image counts as a different person", SOURCES["covid19-train-test"].note):
        assert any(words in note for note in found.notes)
