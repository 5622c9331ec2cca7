"""Corpora.  Listing one needs neither torch nor numpy and opens no audio file."""
