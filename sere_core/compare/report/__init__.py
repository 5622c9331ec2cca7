"""`report.html` of a comparison: one file that opens anywhere, made from records only.

page.py       which tables and figures there are, and the file
words.py      verdicts as sentences; settings, digests, warnings, failures
studio.py     colours and canvas; figures.py: of scores; training.py: learning curves, and embeddings before and after
resonance.py  maps that need the audio again
"""

from sere_core.compare.report.page import write_report

__all__ = ["write_report"]
