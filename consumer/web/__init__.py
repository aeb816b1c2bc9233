"""The HTTP side: webhooks in, the storefront's and the operators' calls, health and metrics."""
