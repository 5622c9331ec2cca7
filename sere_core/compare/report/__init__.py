"""`report.html` of a comparison: one file that opens anywhere, made from records only."""

from sere_core.compare.report.page import write_report

__all__ = ["write_report"]
