"""`make services`: fetch what the tests start and this machine has not; an exit code."""

import os
import sys

from tests.services import container, kafka, postgres

if __name__ == "__main__":
    if not os.environ.get(postgres.NAMED):
        container.pulled(postgres.IMAGE)  # else it is the machine's own
    sys.exit(kafka.fetch())
