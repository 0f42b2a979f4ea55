"""What the report printed."""

import pytest

from cxrkit import published


def test_the_three_spreadsheets_have_the_rows_that_the_report_shows():
    frame = published.integration()
    assert frame.groupby("figure").size().to_dict() == {14: 6, 15: 10, 16: 10}
    assert set(frame.loc[frame["figure"] == 14, "Predict label"]) == {"Covid-19"}
    assert (frame.loc[frame["figure"] == 15, "Predict label"] == "").sum() == 3


def test_figure_5_begins_with_the_rows_of_figure_15():
    five, fifteen = published.predictions(), published.integration().query("figure == 15")
    assert len(five) == 11
    assert five.head(10).to_numpy().tolist() == fifteen[["Image Index", "Predict label"]].to_numpy().tolist()
    assert five.iloc[10].tolist() == ["00005538_001.png", "Infiltration"]


def test_the_report_itself_called_chestxray14_films_covid_19():
    frame = published.integration()
    older = frame["Image Index"].str.fullmatch(r"\d{8}_\d{3}\.png")
    wrong = frame[older & (frame["Predict label"] == "Covid-19")]
    assert list(wrong["Image Index"]) == ["00015969_001.png", "00009138_016.png", "00025811_002.png"]


def test_a_table_has_the_rows_columns_and_numbers_that_the_report_prints():
    mixes = published.table("table09")
    assert list(mixes.columns) == [
        "covid", "covid_set_normal", "chestxray14", "batch", "accuracy", "precision", "recall", "f1",
    ]  # fmt: skip
    assert list(mixes.index) == ["1", "2", "3", "4", "5", "6"]
    assert mixes["accuracy"].idxmax() == "4"
    # 328 right of 397.
    assert mixes.loc["4", "accuracy"] == pytest.approx(328 / 397, abs=1e-8)


def test_every_table_can_be_read():
    names = {line.split(",")[0] for line in (published._FOLDER / "tables.csv").read_text().splitlines()[1:]}
    assert all(len(published.table(name)) for name in names)


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of table01, .*; got 'table99'"):
        published.table("table99")
