"""Which utterances of unlabelled speech a person should label first, and the local page that asks for the labels."""
