"""The shop changes by day: stock, prices, new and removed items count within a minute, without training.

What is said, by ``stock.parquet`` in the landing folder or by callers, goes into a log in Redis that all serving
processes read. Each makes of it and of the live release one that serves in its place, whole and unchanging, whenever
either is another. The catalogue that a release was made of is newer than all that was said before it landed, but for
stock, of which it says nothing.
"""
