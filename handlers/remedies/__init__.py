"""The table of remedies: what is done about every answer of the platform, as data."""
