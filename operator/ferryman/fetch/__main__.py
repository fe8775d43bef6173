"""``python -m ferryman.fetch``: fetch what the environment says, then end."""

import os
import sys

from ferryman.fetch.run import main

sys.exit(main(os.environ))
