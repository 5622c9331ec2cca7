"""The comparison's statistics: pure functions of counts, and what they make of a comparison's results.

summary.py     Results -> Summary, what tables, figures and report read, with the tests against the reference
bootstrap.py, paired.py, ranks.py   intervals, paired tests, ranks: usable by themselves
"""
