"""What can go wrong when serving, as errors that say what to do."""

from __future__ import annotations


class BadRequest(ValueError):  # noqa: N818 - named as HTTP names it
    """A request that no retriever can answer; the message says what is wrong with it, and what it may be."""


class NoLiveRelease(RuntimeError):  # noqa: N818 - named for the state that it reports
    """Nothing has been promoted yet.

    Args:
        newest: id of the newest release on disk, None where there is none.
    """

    def __init__(self, newest: str | None = None) -> None:
        mend = "run `shelfwise run` to train, push and promote one"
        if newest:
            mend = f"releases lie on disk (`shelfwise releases`): `shelfwise promote {newest}`, or {mend}"
        super().__init__(f"no release is live yet: {mend}")


class IndexUnavailable(RuntimeError):  # noqa: N818 - named for the state that it reports
    """Milvus does not answer, or refused what was asked of it."""


class IncompleteCollection(RuntimeError):  # noqa: N818 - named for the state that it reports
    """A collection does not hold exactly the items of its release."""
