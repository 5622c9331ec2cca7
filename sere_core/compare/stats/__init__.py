"""The comparison's statistics: `error` of means and differences, `significance` of many rows, and a summary of results."""
