"""The comparison's statistics: pure functions of counts (`bootstrap`, `significance`), and a summary of results."""
