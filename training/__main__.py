"""Train on the training set in place: ``torchrun --nproc-per-node 2 -m training``, or ``python -m training`` alone."""

from __future__ import annotations

import logging

from infra.settings import get_settings
from infra.threads import wait_quietly

log = logging.getLogger("shelfwise.towers")


def main() -> None:
    """Train by the settings of the environment and the working folder, and say how it goes."""
    wait_quietly()
    from training.distributed import launched_rank
    from training.trainer import train

    logging.basicConfig(level=logging.INFO if launched_rank() == 0 else logging.WARNING, format="%(message)s")
    result = train(get_settings(), lambda message, share: log.info("%3.0f%%  %s", share * 100, message))
    log.info("candidate in %s, best epoch %d", result.candidate_dir, result.best_epoch)


if __name__ == "__main__":
    main()
