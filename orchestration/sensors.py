"""Watch the landing folder."""

import dagster as dg

from features.landing import LandingError
from orchestration.jobs import refresh_features
from orchestration.partitions import DAYS, fingerprints, is_built
from orchestration.shop import shop_settings


@dg.sensor(job=refresh_features, minimum_interval_seconds=60)
def new_landing_days(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """A run for each day that landed, or whose files changed, since its sessions were built."""
    settings = shop_settings()
    try:
        days = fingerprints(settings)
    except LandingError as error:
        return dg.SkipReason(str(error))
    known = set(DAYS.get_partition_keys())
    new = {str(day): fingerprint for day, fingerprint in days.items() if not is_built(settings, day, fingerprint)}
    beyond = sorted(set(new) - known)
    if beyond:
        context.log.warning("%s lie beyond the partitions of this code location: reload it.", ", ".join(beyond))
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{day}:{new[day]}", partition_key=day) for day in sorted(set(new) & known)]
    )
