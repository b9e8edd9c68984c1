"""Score teachers and student: `kd evaluate` as a file for accelerate launch and torchrun."""

import sys

from kd.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
