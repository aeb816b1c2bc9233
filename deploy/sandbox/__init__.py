"""A stand-in for the platform, written from PLATFORM alone.

It imports nothing of the service, keeps everything in memory, and keeps its own ledger of
orders, charge attempts and submissions, so that the service's books can be held against it.
"""
