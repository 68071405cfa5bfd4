"""What can go wrong when serving, as errors that say what to do."""

from __future__ import annotations


class BadRequest(ValueError):  # noqa: N818 - named as HTTP names it
    """A request that no retriever can answer; the message says what is wrong with it, and what it may be."""


class NoLiveRelease(RuntimeError):  # noqa: N818 - named for the state that it reports
    """Nothing has been promoted yet."""

    def __init__(self) -> None:
        super().__init__("no release is live yet: run `shelfwise run` to train, push and promote one")


class IndexUnavailable(RuntimeError):  # noqa: N818 - named for the state that it reports
    """Milvus does not answer, or refused what was asked of it."""


class IncompleteCollection(RuntimeError):  # noqa: N818 - named for the state that it reports
    """A collection does not hold exactly the items of its release."""
