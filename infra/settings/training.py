"""Settings of the training set, the model and its run."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from infra.settings.base import Count, Group, NonNegative, Positive, Share, merged, read_recipe
from infra.settings.pretraining import PretrainingSettings
from infra.settings.quality_prior import QualityPriorSettings

ItemField = Literal["title", "category", "category_words", "attributes", "attribute_words", "description"]
Ngram = Literal["words", "pairs", "trigrams"]
Ramp = tuple[NonNegative, NonNegative]
"""Weight at the first step and at the end of the schedule; it moves linearly between them."""


class TrainingSettings(Group):
    """Training set, encoders, objectives, negatives, and the run itself.

    The defaults of a model are its recipe's, a file of ``infra/recipes``; what is set here or by you comes on top of
    it. Each default is a declared choice of ours unless a paper is named.
    """

    recipe: Literal["shelfwise", "mmse", "ueppr"] = "shelfwise"
    """File of ``infra/recipes`` that the other defaults come from."""
    seed: int = 7
    """Seed of initial weights and of all draws."""

    train_days: Count = 60
    """Days of requests that are learned from, before those that validate."""
    validation_days: Count | None = None
    """Latest days, whose requests choose the epoch, teach the ranker and measure both: of fewer the ranker learns less,
    of more the towers. None: three, but no more than ``validation_share`` of the days, and at least one."""
    validation_share: Share = 0.2
    """Share of the requests, the latest, that validate where the log has too few days for whole validation days."""
    random_per_request: Count = 4
    """Random items per request in the training set."""
    unclicked_per_request: Count = 20
    """Unclicked impressions kept per request (the first by position)."""

    fields: tuple[ItemField, ...] = get_args(ItemField)
    """Field groups of an item that the term encoder reads, where the catalogue fills them."""
    ngrams: tuple[Ngram, ...] = ("words", "pairs", "trigrams")
    """What a text is cut into: words, pairs of neighbouring words, trigrams of letters."""
    buckets: Count = 2**17
    """Rows of the shared hashed embedding table."""
    token_dim: Count = 64
    """Width of a token's embedding."""
    dim: Count = 128
    """Width of the learned part of query and item vectors (a sister paper of MMSE: 128)."""
    hidden: Count = 256
    """Width of the towers' hidden layers."""
    max_query_tokens: Count = 64
    """Tokens kept of a query."""
    max_item_tokens: Count = 256
    """Tokens kept of each field group of an item."""
    price_buckets: Count = 10
    """Quantile buckets that a price is read as."""
    least_queries_per_token: Count = 3
    """Distinct training queries that share a token before the query tower's layers read it."""
    shared_words: bool = True
    """One projection of words for queries and items: texts that share words start close."""
    shared_taste: bool = True
    """One projection of labels (brand, price, colour) for items and for the items of a history."""

    text_encoder: Literal["none", "auto", "minilm", "e5", "t5", "mlm"] = "none"
    """``minilm``: a pretrained sentence encoder of English; ``e5``: one of about 100 languages, at twice the time;
    ``auto``: ``e5`` where few words of catalogue and queries are English, else ``minilm``; ``t5``: the encoder of a T5
    that was trained on this shop to write the query an item is ordered by (UEPPR); ``mlm``: a 4-layer Transformer
    pre-trained on this shop's text (MMSE)."""
    text_in_query: bool = False
    """The text encoder reads the query as well, not items alone."""
    text_dim: Count = 128
    """Width of the text part of query and item vectors, where both have one."""
    text_fusion: Literal["scores", "features"] = "scores"
    """``scores``: query and item text meet in a part of the vectors of their own, and the scores add up;
    ``features``: the text goes through the towers' layers with everything else (MMSE's post-fusion, reading ii)."""
    text_tokens: Count = 64
    """Tokens that a text encoder reads of a text."""
    pretraining: PretrainingSettings = PretrainingSettings()

    graph: bool = True
    """Items also learn from queries that led to them before."""
    stage_weights: dict[str, float] = Field({"clicked": 1.0, "carted": 2.0, "ordered": 4.0})
    """What a request adds to a pair of the query-item graph, by the deepest stage that the item reached in it: above 0,
    and a deeper stage no less than the one before."""
    graph_neighbours: Count = 5
    """Neighbour queries sampled per item in a step."""
    graph_kept: Count = 32
    """Heaviest neighbour queries of an item that its final vector is made of."""
    graph_leave_out: Share = 0.5
    """Share of the items of a step whose neighbours leave out the query that they are to be found by (UEPPR: all)."""
    graph_dropout: Share = 0.3
    """Share of the items of a step that are trained as new items, without interactions."""
    location: bool = True
    """Read where users and items are, where the data says so."""
    scalars: bool = True
    """Quantile-transformed figures of items (price, rating, age, rates), users and queries."""
    history: Literal["none", "mean", "transformer"] = "transformer"
    """How the query tower reads a user: means, or a Transformer layer over query, searches and brands (UEPPR)."""
    history_part: bool = True
    """A part of the vectors by which a query finds again what its user ordered or clicked, item by item."""
    history_dropout: Share = 0.1
    """Share of the examples that are trained with an unknown user, so that unknown users work well."""

    query_dropout: Share = 0.15
    """Share of the examples whose query is trained as one never asked, out of the vocabulary, where
    the text encoder reads queries, so that unknown queries work well."""

    weight_click: NonNegative = 1.0
    """Clicked items over negatives (MMSE)."""
    weight_unclicked: NonNegative = 0.2
    """Unclicked items over negatives (MMSE)."""
    weight_click_over_unclicked: NonNegative = 1.0
    """Clicked items over unclicked ones of the same request (MMSE)."""
    weight_order_over_unclicked: NonNegative = 1.0
    """Ordered items over unclicked ones of the same request (MMSE)."""
    weight_fused: NonNegative = 0.0
    """One softmax over the scores of all stages together (MMSE's post-fusion, reading i)."""
    weight_multi_part_hinge: NonNegative = 0.0
    """UEPPR's hinge with a threshold per stage."""
    temperature: Positive = 1 / 30
    """Softmax temperature (a sister paper of MMSE: 1/30)."""
    click_margin: NonNegative = 0.1
    """Margin by which a clicked item is to lead an unclicked one."""
    order_margin: NonNegative = 0.2
    """Margin by which an ordered item is to lead an unclicked one."""
    threshold_ordered: float = 0.8
    """Multi-part hinge: scores of ordered items are pushed above this."""
    threshold_clicked: float = 0.6
    """Multi-part hinge: scores of clicked items are pushed above this."""
    threshold_unclicked: float = 0.3
    """Multi-part hinge: scores of unclicked items are pushed above this."""
    threshold_negative: float = 0.2
    """Thresholds of the multi-part hinge: scores of a stage are pushed above its own, those of negatives below the
    last."""

    others_choices: bool = True
    """What another user chose for the same query is a negative too, unless its neighbours in the graph name the query:
    it is what tells users apart. false: whatever anybody chose for a query is none."""
    in_batch: Ramp = (1.0, 1.0)
    """Weight of the other requests' clicked items as negatives."""
    uniform: Ramp = (1.0, 1.0)
    """Weight of uniform draws from the catalogue."""
    hard_in_batch: Ramp = (0.0, 0.0)
    """Weight of the most similar of the other requests' clicked items."""
    dynamic: Ramp = (0.0, 0.0)
    """Weight of the most similar of a large random batch, by the towers as they are."""
    ramp_share: Share = 0.5
    """Share of the steps over which these weights move from their first to their last value."""
    hard_in_batch_kept: Count = 16
    """Most similar in-batch negatives kept per request."""
    dynamic_kept: Count = 16
    """Most similar negatives kept per request of the large random batch."""
    unclicked_per_step: Count = 2
    """Unclicked items drawn per request in a step."""
    uniform_per_step: Count = 1
    """Uniform negatives that each request adds to those all requests of a batch share."""

    start: Literal["scratch", "live"] = "scratch"
    """``live``: from the weights of the release that serves, where they fit (the nightly run)."""
    batch_size: Count = 512
    """Requests per step, over all processes together."""
    epochs: Count = 6
    """Most passes over the training set."""
    learning_rate: Positive = 2e-3
    """Highest learning rate."""
    least_steps: Count = 40
    """An epoch has at least so many steps: a small log is read several times in one."""
    patience: Count = 2
    """Epochs without a surely better validation recall before training stops."""
    checkpoint_steps: Count = 200
    """Steps between checkpoints, from which a killed run resumes."""
    threads: Count = 2
    """Threads of torch on a CPU."""
    mixed_precision: bool = True
    """bfloat16 where the device is a GPU."""
    compile: bool = False
    """``torch.compile`` the towers' layers: pays on a GPU."""
    device: str = "auto"
    """``auto``: a GPU where there is one; else a name that torch knows, such as ``cpu``."""
    build_memory: str = "2GB"
    """What DuckDB may hold in memory while it turns the training set into arrays."""
    quality_prior: QualityPriorSettings = QualityPriorSettings()

    @field_validator("stage_weights")
    @classmethod
    def _deeper_weighs_no_less(cls, value: dict[str, float]) -> dict[str, float]:
        stages = ("clicked", "carted", "ordered")
        if set(value) != set(stages):
            raise ValueError(f"give a weight for each of {', '.join(stages)}, and for nothing else")
        weights = [value[stage] for stage in stages]
        if not (0 < weights[0] <= weights[1] <= weights[2] < math.inf):
            raise ValueError("weights are finite, above 0 and rise with the stage: clicked <= carted <= ordered")
        return value

    @model_validator(mode="before")
    @classmethod
    def _on_top_of_the_recipe(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return merged(read_recipe(value.get("recipe", "shelfwise")), value)
