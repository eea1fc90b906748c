"""`python -m bench [speed|memory|calls|slow|balance] [options]`; speed unless said."""

import sys

from bench import balance, calls, memory, run, slow

COMMANDS = {"speed": run.main, "memory": memory.main, "calls": calls.main, "slow": slow.main, "balance": balance.main}

if __name__ == "__main__":
    name, arguments = "speed", sys.argv[1:]
    if arguments and arguments[0] in COMMANDS:
        name, *arguments = arguments
    sys.exit(COMMANDS[name](arguments))
