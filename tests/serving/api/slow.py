"""A retriever that takes its time where it is asked to; in a module, so that another process can make it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from infra.contract.request import Request
from serving.retrieval import Retrieval
from serving.retriever import Retriever


class Slow(Retriever):
    def retrieve_many(self, requests: Sequence[Request]) -> list[Retrieval]:
        time.sleep(2 if requests[0].query == "slow mug" else 0)
        return super().retrieve_many(requests)
