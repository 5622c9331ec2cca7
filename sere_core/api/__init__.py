"""What the package `sere` re-exports: runs, records, corpora, models and comparisons as Python objects that notebooks can show."""
