"""The rows of the report, by their short names."""
