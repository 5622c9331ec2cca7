"""The comparison harness: rows x pairs x seeds of runs that differ in nothing but what is varied.

comparison file -> plan (jobs) -> records -> proof of equality -> facts -> statistics -> tables, figures, report
"""
