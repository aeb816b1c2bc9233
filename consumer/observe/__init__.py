"""What operators see while it runs: logs and metrics, both without secrets and personal data."""
