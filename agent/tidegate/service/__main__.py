"""`python -m tidegate.service VERB ...`, which install.sh calls and a device without a clone can."""

import sys

from tidegate.service.main import main

sys.exit(main(sys.argv[1:]))
