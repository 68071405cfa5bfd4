"""Judging a frame of measures by Great Expectations, and writing its page of Data Docs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from features.quality.data_docs import site_config
from features.quality.outcomes import outcomes_of, value_range
from features.quality.results import SuiteResult
from features.quality.rules import Absent, AtLeast, Between, Rule, Suite, expected_of
from infra.settings import Settings
from infra.telemetry import silence

RESULTS_STORE = "results"
LOCK_SECONDS = 300


def validate(settings: Settings, suite: Suite, measures: pd.DataFrame, scope: str) -> SuiteResult:
    """Judge ``measures`` (one row per value of ``suite.key``) and write the page that says what came out.

    ``scope`` says which rows were measured, as a name that a file system takes. A rule whose judging raises inside
    Great Expectations is broken, with the exception in its outcome.

    Raises:
        ValueError: There is nothing to judge.
        RuntimeError: The page could not be written.
    """
    if measures.empty:
        raise ValueError(f"suite {suite.name!r} has nothing to judge: give it at least one day that was built")
    folder = settings.paths.reports / "validations"
    folder.mkdir(parents=True, exist_ok=True)
    # Checks of several days run at once in Dagster, and each rewrites the front page.
    with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
        context = _context(folder, settings.paths.data_docs)
        _forget_old(context, suite.name, keep=settings.checks.kept_validations - 1)
        key, result = _run(context, suite, measures, scope)
    page = Path("validations", *key.to_tuple()).with_suffix(".html")
    if not (settings.paths.data_docs / page).exists():
        raise RuntimeError(f"Data Docs wrote no page at {page}: see the log of great_expectations for the error")
    outcomes = outcomes_of(result.results)
    return SuiteResult(suite.name, scope, all(o.success for o in outcomes), outcomes, page)


def _context(results: Path, site: Path) -> Any:
    """An ephemeral context: only results and pages reach the disk, so no configuration can go stale there."""
    silence()
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig

    def store(kind: str, **backend: str) -> dict[str, Any]:
        return {"class_name": kind, "store_backend": backend or {"class_name": "InMemoryStoreBackend"}}

    config = DataContextConfig(
        config_version=4.0,
        analytics_enabled=False,
        progress_bars={"globally": False},
        stores={
            "suites": store("ExpectationsStore"),
            "checkpoints": store("CheckpointStore"),
            "validation_definition_store": store("ValidationDefinitionStore"),
            RESULTS_STORE: store(
                "ValidationResultsStore",
                class_name="TupleFilesystemStoreBackend",
                base_directory=str(results),
            ),
        },
        expectations_store_name="suites",
        checkpoint_store_name="checkpoints",
        validation_results_store_name=RESULTS_STORE,
        data_docs_sites={"shelfwise": site_config(site)},
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _forget_old(context: Any, suite: str, keep: int) -> None:
    """Remove all but the latest ``keep`` results of a suite; the site builder then drops their pages."""
    store = context.validation_results_store
    kept = [key for key in store.list_keys() if key.expectation_suite_identifier.name == suite]
    for key in sorted(kept, key=lambda k: k.run_id.run_time, reverse=True)[keep:]:
        store.remove_key(key)


def _run(context: Any, suite: Suite, measures: pd.DataFrame, scope: str) -> tuple[Any, Any]:
    """Run the suite's checkpoint: identifier and ``ExpectationSuiteValidationResult``.

    Where a rule is broken it runs again, for the rows that break it: to find none takes as long as to find some.
    """
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.core.run_identifier import RunIdentifier

    asset = context.data_sources.add_pandas("measures").add_dataframe_asset(suite.name)
    rules = [_expectation(place, rule, measures) for place, rule in enumerate(suite.rules)]
    expectations = context.suites.add(gx.ExpectationSuite(suite.name, expectations=rules))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=suite.name, data=asset.add_batch_definition_whole_dataframe("all"), suite=expectations
        )
    )
    # Without a time, a name that reads as a date becomes the time of the run.
    run_id = RunIdentifier(run_name=scope, run_time=datetime.now(UTC))

    def run(result_format: Mapping[str, Any]) -> tuple[Any, Any]:
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=f"{suite.name} {result_format['result_format']}",
                validation_definitions=[definition],
                actions=[UpdateDataDocsAction(name="pages")],
                result_format=result_format,
            )
        )
        done = checkpoint.run(batch_parameters={"dataframe": measures}, run_id=run_id)
        ((key, result),) = done.run_results.items()
        return key, result

    key, result = run({"result_format": "BOOLEAN_ONLY"})
    if result.success:
        return key, result
    return run({"result_format": "COMPLETE", "unexpected_index_column_names": [suite.key]})


def _expectation(place: int, rule: Rule, measures: pd.DataFrame) -> Any:
    """A rule as an expectation, with what a page says about it."""
    import great_expectations.expectations as gxe

    notes = {
        "place": place,
        "rule": rule.says,
        "expected": expected_of(rule),
        "observed": _observed(rule, measures),
    }
    match rule:
        case Between(measure, _, low, high, _):
            return gxe.ExpectColumnValuesToBeBetween(column=measure, min_value=low, max_value=high, meta=notes)
        case Absent(measure):
            return gxe.ExpectColumnValuesToBeNull(column=measure, meta=notes)
        case AtLeast(measure, other):
            return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=measure, column_B=other, or_equal=True, ignore_row_if="either_value_is_missing", meta=notes
            )


def _observed(rule: Rule, measures: pd.DataFrame) -> str:
    """What a rule that is met saw; the rows that break one come from Great Expectations."""
    names = (rule.measure, rule.other) if isinstance(rule, AtLeast) else (rule.measure,)
    if missing := [name for name in names if name not in measures]:
        return f"no measure {', '.join(missing)}"
    if isinstance(rule, Absent) and measures[rule.measure].isna().all():
        return "nothing"
    ranges = [value_range(measures[name]) for name in names]
    return ranges[0] if len(names) == 1 else ", ".join(f"{n} {r}" for n, r in zip(names, ranges, strict=True))
