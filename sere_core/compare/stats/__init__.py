"""The comparison's statistics: pure functions of counts, and what they make of a comparison's results.

summary.py     what tables, figures and report read: frozen data, no arithmetic
summarise.py   Results -> Summary, with the tests against the reference
bootstrap.py, paired.py, ranks.py   intervals, paired tests, ranks: usable by themselves
"""
