"""What was fitted on the train window, for the query encoder of a candidate that is not yet a release."""

from __future__ import annotations

from infra.settings import Settings
from training.data.arrays import Arrays
from training.data.location import LocationBuckets
from training.model.query_encoder import Preprocessing
from training.text import load_text_encoder


def preprocessing_of(settings: Settings, arrays: Arrays) -> Preprocessing:
    """The transforms of the run in progress."""
    return Preprocessing(
        numeric=arrays.request_transform,
        location=LocationBuckets.from_json(arrays.meta["location"]),
        text=load_text_encoder(settings),
    )
