from __future__ import annotations

import msgspec
import pytest

from soundwatch.daemon.core.model.contract import EvaluationScore, Provenance
from soundwatch.daemon.core.model.operation import TagScore
from soundwatch.export.model_card import model_card
from support.fakes import SMALL_CONTRACT, SMALL_PROVENANCE, SMALL_SPEC

SCORE = EvaluationScore(
    trained_on="UrbanSound8K folds 2, 3",
    tested_on="UrbanSound8K fold 1",
    clips=873,
    accuracy=0.7123,
    macro_f1=0.6987,
    recall={"low": 0.251, "high": None},
)


def card(**changes: object) -> str:
    return model_card(msgspec.structs.replace(SMALL_CONTRACT, **changes))


def with_licence(licence: str, **changes: object) -> Provenance:
    return msgspec.structs.replace(SMALL_PROVENANCE, licence=licence, **changes)


def test_every_label_has_its_threshold() -> None:
    text = card(thresholds={"low": 0.25, "high": 1.0})
    assert "| low | 0.25 |" in text
    assert "| high | 1.00 |" in text


def test_every_split_has_its_scores_and_recall() -> None:
    text = card(scores=(SCORE,))
    assert "| UrbanSound8K folds 2, 3 | UrbanSound8K fold 1 | 873 | 0.712 | 0.699 |" in text
    assert "| low | 0.25 |" in text
    assert "| high | no clips |" in text


def test_a_model_without_scores_is_marked() -> None:
    assert "The model was not tested on recordings" in card()


def test_a_leaky_split_is_marked() -> None:
    leaky = with_licence("CC BY 4.0", leaky_split=True)
    assert "**Not valid:**" in card(scores=(SCORE,), provenance=leaky)
    assert "Not valid" not in card(scores=(SCORE,))


@pytest.mark.parametrize(
    ("licence", "restricted"), [("CC BY-NC 3.0", True), ("Creative Commons BY-NC 4.0", True), ("CC BY 4.0", False)]
)
def test_a_non_commercial_licence_is_explained(licence: str, restricted: bool) -> None:
    text = card(provenance=with_licence(licence))
    assert licence in text
    assert ("may not be used for commercial purposes" in text) == restricted


def test_the_card_has_all_parameters_of_the_front_end() -> None:
    text = card()
    for expected in (
        "8000 Hz",
        "3200 samples, 33 frames",
        "256 samples, Hann, every 100",
        "0 to 4000 Hz, htk",
        "80 dB",
    ):
        assert expected in text
    assert "| minimum | none |" in card(features=msgspec.structs.replace(SMALL_SPEC, top_db=None))


def test_a_softmax_model_has_the_limit_that_every_sound_gets_a_class() -> None:
    assert "It has no class for other sounds" in card(activation="softmax")
    assert "It has no class for other sounds" not in card(activation="sigmoid")


def test_the_card_has_the_measured_precision_of_tags() -> None:
    scores = {
        "glass": TagScore(clips=5, recordings=4, recall=0.6, precision=0.5),
        "alarm": TagScore(clips=9, recordings=7, recall=0.0, precision=None),
    }
    text = card(tags=("glass", "alarm"), tag_scores=scores)
    assert "| glass | 5 | 4 | 0.60 | 0.50 |" in text
    assert "| alarm | 9 | 7 | 0.00 | - |" in text
    assert "Their precision was not measured: glass, alarm." in card(tags=("glass", "alarm"))
    assert "## Tags" not in card()


def test_folds_that_the_data_names_are_not_repeated() -> None:
    named = msgspec.structs.replace(SMALL_PROVENANCE, data="UrbanSound8K folds 1, 2 and other sounds", folds=(1, 2))
    assert card(provenance=named).count("folds 1, 2") == 1
    assert "UrbanSound8K, folds 1, 2: " in card(provenance=msgspec.structs.replace(named, data="UrbanSound8K"))
