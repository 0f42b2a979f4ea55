"""The manifest: what `read` refuses and how it says so, what `split` promises, what `check` finds."""

import hashlib
import re

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit.data import _manifest as manifest
from cxrkit.labels import FINDINGS

HEADER = ",".join(manifest.COLUMNS)


def film(image="a.png", **cells):
    """One row of a manifest as a dict, all legal unless told otherwise."""
    row = {"image": image, "source": "s", "patient_id": "p1", "follow_up": 0, "view": "PA", "sex": "F", "age": 61.0}
    row |= {"covid": 0, "findings": "", "split": "", "seed": pd.NA, "sha256": "", "width": 8, "height": 8}
    return row | {"license": "CC0-1.0"} | cells


def table(*rows):
    return pd.DataFrame(rows)


def put(tmp_path, *lines, header=HEADER, encoding="utf-8"):
    path = tmp_path / "m.csv"
    path.write_bytes("\n".join([header, *lines, ""]).encode(encoding))
    return path


def test_read_gives_the_promised_columns_and_types(tmp_path):
    path = put(tmp_path, "a.png,nih,p1,2,PA,F,61,1,Mass|Effusion,train,,,1024,1024,x,kept", header=HEADER + ",day")
    frame = manifest.read(path)
    assert list(frame) == [*manifest.COLUMNS, "day"]
    assert frame.loc[0, "findings"] == "Effusion|Mass"
    assert frame.loc[0, "follow_up"] == 2
    assert frame.loc[0, "day"] == "kept"
    assert pd.isna(frame.loc[0, "seed"])
    assert {str(frame[c].dtype) for c in ("follow_up", "covid", "seed", "width", "height")} == {"Int64"}
    assert frame["age"].dtype == float


def test_no_finding_is_an_empty_cell_and_whole_numbers_may_be_written_as_floats(tmp_path):
    frame = manifest.read(put(tmp_path, "a.png,s,p1,0.0,,,,1.0,No Finding,,,,,,"))
    assert frame.loc[0, "findings"] == ""
    assert frame.loc[0, "covid"] == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path, encoding):
    assert manifest.read(put(tmp_path, "é.png,s,p1,,,,,,,,,,,,", encoding=encoding)).loc[0, "image"] == "é.png"


@pytest.mark.parametrize(
    ("column", "value", "legal"),
    [
        ("image", "", "a path"),
        ("patient_id", " ", "any text"),
        ("follow_up", "-1", "a whole number >= 0"),
        ("view", "pa", "PA, AP, AP Supine, LL, RL, or empty"),
        ("sex", "Male", "F, M, or empty"),
        ("age", "411", "years from 0 to 120"),
        ("age", "061Y", "years from 0 to 120"),
        ("covid", "yes", "0, 1, or empty"),
        ("findings", "Effusion|SARS", "Atelectasis, Cardiomegaly"),
        ("split", "dev", "train, val, test, or empty"),
        ("seed", "1e5", "a whole number >= 0"),
        ("sha256", "abc", "64 hexadecimal digits"),
        ("width", "0", "a whole number of pixels"),
    ],
)
def test_a_cell_at_fault_is_named_by_row_and_column(tmp_path, column, value, legal):
    good, bad = film("a.png"), film("b.png") | {column: value}
    lines = [",".join(manifest._as_text(row[name]) for name in manifest.COLUMNS) for row in (good, bad)]
    with pytest.raises(manifest.ManifestError, match=f"row 3, {column}: got {value!r}; legal: {re.escape(legal)}"):
        manifest.read(put(tmp_path, *lines))


def test_all_faults_are_kept_and_the_first_twenty_shown(tmp_path):
    lines = [f"{number}.png,s,p,,,X,,,,,,,,," for number in range(30)]
    with pytest.raises(manifest.ManifestError, match="30 faults") as caught:
        manifest.read(put(tmp_path, *lines))
    assert len(caught.value.faults) == 30
    assert caught.value.faults["row"].tolist() == list(range(2, 32))
    assert str(caught.value).count("\n") == 21
    assert "and 10 more" in str(caught.value)


def test_an_image_listed_twice_is_a_fault_of_both_rows():
    with pytest.raises(manifest.ManifestError, match="each image once") as caught:
        manifest.validate(table(film("a.png"), film("b.png"), film("a.png")))
    assert caught.value.faults["row"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; its first row must be image,source"),
        (HEADER.replace(",", ";").encode(), "separated by semicolons, not commas; save it as 'CSV UTF-8"),
        (HEADER.replace(",", "\t").encode(), "separated by tabs"),
        (HEADER.encode() + b"\nM\xfcller.png", "is not UTF-8 .byte"),
        (HEADER.encode() + b"\na.png,s", "row 2: got '2 cells'; legal: 15 cells, as in the header"),
        (HEADER.replace("findings", "finding").encode() + b"\n", "lacks the column findings .is it 'finding'"),
        (HEADER.encode() + b",age\n", "has the column 'age' twice"),
        (HEADER.encode() + b'\n"a.png', "not a comma-separated file"),
    ],
)
def test_a_file_that_is_no_manifest_says_the_way_out(tmp_path, content, message):
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    with pytest.raises(manifest.ManifestError, match=message):
        manifest.read(path)


def test_blank_lines_are_passed_over_but_counted(tmp_path):
    with pytest.raises(manifest.ManifestError, match="row 4, sex"):
        manifest.read(put(tmp_path, "a.png,s,p,,,F,,,,,,,,,", "", "b.png,s,p,,,X,,,,,,,,,"))


def test_a_manifest_of_no_films_is_one(tmp_path):
    assert manifest.read(put(tmp_path)).shape == (0, 15)


texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n\0"), max_size=12)
films = st.fixed_dictionaries(
    {
        "source": texts,
        "patient_id": texts.filter(str.strip),
        "follow_up": st.none() | st.integers(0, 10**6),
        "view": st.sampled_from(["", *manifest.VIEWS]),
        "sex": st.sampled_from(["", "F", "M"]),
        "age": st.none() | st.floats(0, 120, allow_subnormal=False).map(lambda age: round(age, 2)),
        "covid": st.sampled_from([0, 1, None]),
        "findings": st.lists(st.sampled_from(FINDINGS), unique=True).map("|".join),
        "split": st.sampled_from(["", *manifest.SPLITS]),
        "seed": st.none() | st.integers(0, 2**53),
        "sha256": st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex),
        "width": st.none() | st.integers(1, 99999),
        "height": st.none() | st.integers(1, 99999),
        "license": texts,
        "note": texts,
    }
)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(films, max_size=6), names=st.lists(texts.filter(str.strip), min_size=6, max_size=6, unique=True))
def test_writing_then_reading_gives_the_same(tmp_path_factory, rows, names):
    path = tmp_path_factory.mktemp("m") / "m.csv"
    frame = pd.DataFrame(
        [{"image": name, **row} for name, row in zip(names, rows, strict=False)], columns=[*manifest.COLUMNS, "note"]
    )
    manifest.write(frame, path)
    first = path.read_bytes()
    back = manifest.read(path)
    pd.testing.assert_frame_equal(back, manifest.validate(frame))
    manifest.write(back, path)
    assert path.read_bytes() == first


def test_a_refused_frame_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "m.csv"
    manifest.write(table(film()), path)
    before = path.read_bytes()
    with pytest.raises(manifest.ManifestError, match="row 0, sex"):
        manifest.write(table(film(sex="X")), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


def test_a_name_of_two_lines_is_refused():
    with pytest.raises(manifest.ManifestError, match="text of one line"):
        manifest.validate(table(film("a\nb.png")))


patients = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([0, 1, None]), st.sampled_from(["", "Mass", "Hernia|Mass"])),
    min_size=1,
    max_size=40,
)


def cohort(people):
    return pd.DataFrame(
        [
            film(f"{person}-{number}.png", patient_id=f"p{person}", covid=covid, findings=findings)
            for person, (count, covid, findings) in enumerate(people)
            for number in range(count)
        ]
    )


@settings(max_examples=80, deadline=None)
@given(
    people=patients,
    ratios=st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5)),
    seed=st.integers(0, 2**32),
    stratify=st.sampled_from([None, "covid", "findings", ("covid", "findings")]),
)
def test_a_split_never_parts_a_patient_keeps_the_ratios_and_forgets_the_order(people, ratios, seed, stratify):
    frame = cohort(people)
    done = manifest.split(frame, ratios, seed=seed, stratify=stratify)
    assert (done.groupby("patient_id")["split"].nunique() == 1).all()
    largest = max(count for count, *_ in people)
    for name, ratio in zip(manifest.SPLITS, ratios, strict=True):
        films_in = (done["split"] == name).sum()
        assert abs(films_in - len(frame) * ratio / sum(ratios)) < 2 * largest
        assert ratio or not films_in
    turned = manifest.split(frame.iloc[::-1], ratios, seed=seed, stratify=stratify)
    pd.testing.assert_series_equal(turned["split"].sort_index(), done["split"])


def test_each_split_gets_its_share_of_covid_and_of_a_rare_finding():
    people = [(1, 1, "")] * 10 + [(1, 0, "Hernia|Mass")] * 5 + [(1, 0, "Mass")] * 35
    done = manifest.split(cohort(people), seed=3, stratify=("covid", "findings"))
    assert done[done["covid"] == 1]["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 2}
    assert done[done["findings"] == "Hernia|Mass"]["split"].value_counts().to_dict() == {
        "train": 3,
        "val": 1,
        "test": 1,
    }


def test_another_seed_deals_otherwise():
    frame = cohort([(1, 0, "")] * 30)
    deals = {tuple(manifest.split(frame, seed=seed)["split"]) for seed in range(5)}
    assert len(deals) == 5


@pytest.mark.parametrize("ratios", [(3, 1), (3, -1, 1), (0, 0, 0), (1, np.nan, 1)])
def test_ratios_that_cannot_be_used(ratios):
    with pytest.raises(ValueError, match="three numbers >= 0"):
        manifest.split(table(film()), ratios, seed=0)


def test_films_without_a_patient_are_not_split():
    with pytest.raises(ValueError, match="1 films have no patient_id"):
        manifest.split(table(film(), film("b.png", patient_id="")), seed=0)


def picture(seed, size=192, shape=None):
    """A random picture, uint8: coarse shapes, drawn from `shape` if given, and finer ones."""
    coarse = np.random.default_rng(seed if shape is None else shape).random((6, 6), dtype=np.float32)
    fine = np.random.default_rng(seed).random((48, 48), dtype=np.float32)
    coarse, fine = (cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC) for part in (coarse, fine))
    return ((0.7 * coarse + 0.3 * fine).clip(0, 1) * 255).astype(np.uint8)


def save(root, name, pixels, *options):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels, list(options))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_clean_manifest_is_ok(tmp_path):
    rows = [film(f"{k}.png", patient_id=f"p{k}", sha256=save(tmp_path, f"{k}.png", picture(k))) for k in range(4)]
    seen = []
    found = manifest.check(table(*rows), tmp_path, progress=lambda *call: seen.append(call))
    assert found.ok
    assert found.leaks == 0
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert "0 leaks from one split into another" in found.summary()


def test_patients_in_two_splits_are_listed(tmp_path):
    rows = [
        film("a.png", patient_id="p1", split="test"),
        film("b.png", patient_id="p1", split="train"),
        film("c.png", patient_id="p2", split="train"),
        film("d.png", patient_id="p2", split=""),
    ]
    found = manifest.check(table(*rows), tmp_path, near_bits=None)
    assert found.shared_patients.values.tolist() == [["p1", "train|test", 2]]
    assert found.leaks == 1
    assert not found.ok


def test_missing_changed_and_unreadable_films_are_listed(tmp_path):
    good = save(tmp_path, "good.png", picture(1))
    found_sha = save(tmp_path, "changed.png", picture(2))
    (tmp_path / "text.png").write_text("no picture")
    rows = [
        film("good.png", sha256=good),
        film("changed.png", sha256="0" * 64),
        film("gone.png", sha256=good),
        film("text.png"),
    ]
    found = manifest.check(table(*rows), tmp_path)
    assert found.missing["image"].tolist() == ["gone.png"]
    assert found.changed.values.tolist() == [["changed.png", "0" * 64, found_sha]]
    assert found.unreadable["image"].tolist() == ["text.png"]
    assert not found.ok


def test_equal_files_and_look_alikes_are_told_apart(tmp_path):
    first = picture(1)
    save(tmp_path, "a.png", first)
    save(tmp_path, "copy.png", first)
    save(
        tmp_path, "again.jpg", cv2.resize(first, (160, 160), interpolation=cv2.INTER_AREA), cv2.IMWRITE_JPEG_QUALITY, 60
    )
    save(tmp_path, "other.png", picture(2))
    rows = [
        film("a.png", patient_id="p1", split="train"),
        film("copy.png", patient_id="p2", split="test"),
        film("again.jpg", patient_id="p3", split="val"),
        film("other.png", patient_id="p4", split="test"),
    ]
    found = manifest.check(table(*rows), tmp_path)
    assert found.duplicates[["group", "image", "split"]].values.tolist() == [
        [0, "a.png", "train"],
        [0, "copy.png", "test"],
    ]
    pairs = found.near_duplicates
    assert pairs[["image_a", "image_b"]].values.tolist() == [["a.png", "again.jpg"], ["copy.png", "again.jpg"]]
    assert (pairs["bits"] <= manifest.NEAR_BITS).all()
    assert found.leaks == 3


def test_films_alike_in_shape_alone_are_no_copies(tmp_path):
    for number in (1, 2):
        save(tmp_path, f"{number}.png", picture(number, shape=9))
    rows = table(film("1.png", patient_id="p1", split="train"), film("2.png", patient_id="p2", split="test"))
    assert manifest.check(rows, tmp_path, near_bits=100).near_duplicates.empty
    candidates = manifest._near_pairs(rows, [manifest._look(tmp_path / f"{n}.png", True) for n in (1, 2)], 100)
    assert len(candidates) == 1


def test_correlation_finds_a_film_again_that_was_cropped():
    pixels = picture(3) / np.float32(255)
    assert manifest.correlation(pixels, pixels[6:-6, 6:-6]) > 0.8
    assert manifest.correlation(pixels, picture(4) / np.float32(255)) < 0.5
    assert manifest.correlation(pixels, np.zeros_like(pixels)) == -1


def test_without_near_bits_no_film_is_decoded(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    found = manifest.check(table(film("a.png")), tmp_path, near_bits=None)
    assert found.ok
    assert found.near_duplicates.empty


def test_a_hash_outlives_brightness_but_not_another_picture():
    first, second = picture(1) / np.float32(255), picture(2) / np.float32(255)
    same = (manifest.perceptual_hash(first) != manifest.perceptual_hash(0.7 * first + 0.1)).sum()
    other = (manifest.perceptual_hash(first) != manifest.perceptual_hash(second)).sum()
    assert same <= manifest.NEAR_BITS < 80 < other


def test_pairs_are_found_across_the_blocks_that_are_compared():
    rng = np.random.default_rng(0)
    hashes = rng.random((2500, 256)) < 0.5
    hashes[2400] = hashes[3]
    hashes[2400, :7] ^= True
    prints = [manifest._Fingerprint(str(k), (8, 8), bits) for k, bits in enumerate(hashes)]
    frame = pd.DataFrame({"image": [str(k) for k in range(2500)], "patient_id": "p", "split": "train"})
    pairs = manifest._near_pairs(frame, prints, 40)
    assert pairs[["image_a", "image_b", "bits"]].values.tolist() == [["3", "2400", 7]]


def test_fingerprint_fills_in_what_the_files_say(tmp_path):
    sha256 = save(tmp_path, "a.png", picture(1)[:96, :80])
    frame = manifest.fingerprint(table(film("a.png"), film("gone.png")), tmp_path)
    assert frame.loc[0, ["sha256", "width", "height"]].tolist() == [sha256, 80, 96]
    assert frame.loc[1, "sha256"] == ""
    assert frame["width"].isna().tolist() == [False, True]


def test_labels_are_counted_per_split():
    rows = [
        film("a.png", split="train", findings="Mass|Effusion"),
        film("b.png", split="train", findings="Mass"),
        film("c.png", split="test", covid=1),
        film("d.png", split="test"),
    ]
    counts = manifest.label_counts(manifest.validate(table(*rows))).set_index(["split", "label"])["count"]
    assert counts["train", "Mass"] == 2
    assert counts["train", "patients"] == 1
    assert counts["test", "COVID-19"] == 1
    assert counts["test", "No Finding"] == 1
