"""The comparison's statistics: pure functions of counts, and what they make of a comparison's results.

summary.py     what tables, figures and report read: frozen data, no arithmetic
summarise.py   Results -> Summary; verdict.py: Results -> Verdicts
spread, bootstrap, paired, multiple, power, ranks: one idea each, usable by themselves
"""
