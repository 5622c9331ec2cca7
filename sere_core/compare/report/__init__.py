"""`report.html` of a comparison: one file that opens anywhere, made from records only.

evidence.py   manifests, histories and embeddings out of records
how.py        settings, digests, warnings, failures; words.py: verdicts as sentences; grid.py: the tables
paint.py      colours and canvas; bars, critical, confusions, curves, maps: one kind of figure each
album.py      which figures there are; resonance.py: maps that hear the audio again; write.py: the file
"""

from sere_core.compare.report.write import write_report

__all__ = ["write_report"]
