"""The papers' tables over a shop: every row on the same requests, with intervals.

    python -m benchmarks.ablations --shop demo --seeds 7 8 9 --tables recipes I II III --jobs 2

``rows`` says what is measured, ``workspace`` where, ``worker`` measures one row with one seed, ``schedule`` runs them,
``statistics``, ``aims``, ``report`` and ``plots`` make ``docs/ablations.md`` of what is measured.
"""
