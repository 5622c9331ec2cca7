"""The components that come with sere.  They use the same door as anybody's."""
