"""What things are: pydantic models and enums, for every other package to import."""
