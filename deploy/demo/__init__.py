"""The demo: shoppers, a stand-in platform that misbehaves, and the books at the end."""
