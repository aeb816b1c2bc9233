"""What to decide: pure functions from a purchase and a fact to a purchase and commands."""
