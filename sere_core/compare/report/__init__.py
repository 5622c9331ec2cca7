"""`report.html` of a comparison, or of one run: one file that opens anywhere, made from records."""

from sere_core.compare.report.page import write_report

__all__ = ["write_report"]
