"""`python -m consumer` is `order-rescue`."""

import sys

from consumer.cli import main

sys.exit(main())
