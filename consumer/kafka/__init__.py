"""Kafka: events in, outcomes and dead letters out."""
