"""Train on the training set in place: ``torchrun --nproc-per-node 2 -m training``, or ``python -m training`` alone."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from infra.run_lock import RunInProgress, one_run
from infra.settings import get_settings
from infra.threads import wait_quietly

log = logging.getLogger("shelfwise.towers")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train by the settings of the environment and the working folder, and say how it goes."""
    live = _live_folder(arguments)
    wait_quietly()
    from training.distributed import launched_rank
    from training.run.trainer import train

    logging.basicConfig(level=logging.INFO if launched_rank() == 0 else logging.WARNING, format="%(message)s")
    settings = get_settings()
    try:
        with one_run(settings) if launched_rank() == 0 else nullcontext():
            result = train(settings, lambda message, share: log.info("%3.0f%%  %s", share * 100, message), live=live)
    except RunInProgress as error:
        raise SystemExit(str(error)) from error
    log.info("candidate in %s, best epoch %d", result.candidate_dir, result.best_epoch)


def _live_folder(arguments: Sequence[str] | None) -> Path | None:
    """The release that the command line names to start from."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the towers on the training set in place, by the settings (SHELFWISE_*, shelfwise.toml).",
    )
    parser.add_argument(
        "--live",
        type=Path,
        metavar="FOLDER",
        help="release to start from, where SHELFWISE_TRAINING__START=live; without it training starts from scratch",
    )
    live: Path | None = parser.parse_args(arguments).live
    if live is not None and not (live / "manifest.json").is_file():
        parser.error(f"--live {live}: there is no release; those of a shop lie in SHELFWISE_HOME/SHOP/releases")
    if live is not None and get_settings().training.start != "live":
        parser.error("--live goes with SHELFWISE_TRAINING__START=live")
    return live


if __name__ == "__main__":
    main()
