"""A search for settings as part of a comparison: as many trials for every row, a choice that sees no target label, all of it repeated.

declared ranges -> drawn settings -> trials (ordinary jobs) -> their posteriors of T_u -> a choice by row, pair and repeat -> plan, table
"""
