"""Watch the landing folder."""

import dagster as dg

from features.build_sessions import read_report
from features.landing import LandingError, day_files, landing_days
from orchestration.jobs import refresh_features
from orchestration.partitions import DAYS
from orchestration.shop import shop_settings


@dg.sensor(job=refresh_features, minimum_interval_seconds=60)
def new_landing_days(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """A run for each day that landed, or whose files changed, since its sessions were built."""
    settings = shop_settings()
    try:
        days = landing_days(settings)
    except LandingError as error:
        return dg.SkipReason(str(error))
    known = set(DAYS.get_partition_keys())
    requests = []
    for day in days:
        fingerprint = day_files(settings, day).fingerprint
        report = read_report(settings, day)
        if report is not None and report.fingerprint == fingerprint:
            continue
        if day.isoformat() not in known:
            return dg.SkipReason(f"{day} is beyond the partitions of this code location: reload it to take the day in.")
        requests.append(dg.RunRequest(run_key=f"{day}:{fingerprint}", partition_key=day.isoformat()))
    return dg.SensorResult(run_requests=requests)
