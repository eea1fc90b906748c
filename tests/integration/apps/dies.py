"""An application at whose import the process dies without a word."""

import os

os._exit(9)
