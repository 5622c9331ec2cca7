"""Until all rooms import `sere_core.score.records`."""

from sere_core.score.records import RECORD_FILES, Prediction, Record, digest_files, load_yaml, read_verified

__all__ = ["RECORD_FILES", "Prediction", "Record", "digest_files", "load_yaml", "read_verified"]
