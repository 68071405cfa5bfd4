"""Group training: which index searches the release."""

import dagster as dg

from orchestration.assets.common import LOCKED, OWNERS, progress_to
from orchestration.assets.training import quality_prior
from orchestration.metadata import rounded, table
from orchestration.shop import candidate_dir, shop_settings
from orchestration.versions import code_version, data_version
from serving.tuning import tune
from training.release.manifest import CHOICE
from training.run.candidate import item_vectors, latest_query_vectors, save_index


@dg.asset(
    group_name="training",
    kinds={"optuna", "faiss"},
    owners=OWNERS,
    code_version=code_version("index_tuning"),
    required_resource_keys=LOCKED,
    deps=[quality_prior],
)
def index_tuning() -> dg.MaterializeResult:
    """Index types on the candidate's own vectors and the latest requests: what each misses, its time and memory."""
    settings, folder = shop_settings(), candidate_dir(shop_settings())
    queries = latest_query_vectors(settings, folder)
    index = tune(settings, item_vectors(settings, folder), queries, progress_to("index_tuning"))
    save_index(folder, index)
    chosen = index["chosen"]
    return dg.MaterializeResult(
        data_version=data_version({name: chosen[name] for name in CHOICE}),
        metadata={
            "chosen": chosen["type"],
            "parameters": ", ".join(f"{name} {value:g}" for name, value in chosen["params"].items()) or "none",
            "types": table(
                [
                    {
                        "type": measured["type"],
                        **{f"recall loss at {k}": loss for k, loss in measured["recall_loss"].items()},
                        **{f"ms at {k}, {q}": ms for k, of in measured["latency_ms"].items() for q, ms in of.items()},
                        "MB beside the vectors": measured["memory_bytes"] / 1e6,
                        "seconds to build": measured["build_seconds"],
                        "loses little enough": measured["eligible"],
                    }
                    for measured in index["types"]
                ]
            ),
            "searched by": index["searched_by"],
            "items": index["items"],
            "requests": index["queries"],
            "seconds": rounded(index["seconds"]),
        },
    )
