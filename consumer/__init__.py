"""How it runs: sources, store, platform client, workers, HTTP and command line."""
