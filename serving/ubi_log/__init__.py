"""What is answered and what events are sent, written as UBI day folders into the landing folder."""

from serving.ubi_log.rows import UBI_EVENTS, UBI_QUERIES, Source
from serving.ubi_log.writer import UbiLog, UbiLogError, log_folder

__all__ = ["UBI_EVENTS", "UBI_QUERIES", "Source", "UbiLog", "UbiLogError", "log_folder"]
