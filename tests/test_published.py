"""What the report printed."""

from cxrkit import published


def test_the_three_spreadsheets_have_the_rows_that_the_report_shows():
    frame = published.integration()
    assert frame.groupby("figure").size().to_dict() == {14: 6, 15: 10, 16: 10}
    assert set(frame.loc[frame["figure"] == 14, "Predict label"]) == {"Covid-19"}
    assert (frame.loc[frame["figure"] == 15, "Predict label"] == "").sum() == 3


def test_the_report_itself_called_chestxray14_films_covid_19():
    frame = published.integration()
    older = frame["Image Index"].str.fullmatch(r"\d{8}_\d{3}\.png")
    wrong = frame[older & (frame["Predict label"] == "Covid-19")]
    assert list(wrong["Image Index"]) == ["00015969_001.png", "00009138_016.png", "00025811_002.png"]
