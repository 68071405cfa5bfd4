"""Raw sessions -> clean sessions -> Feast features and stage-labelled training sets."""
