"""Compare ways to train the student: `kd study` as a file for accelerate launch and torchrun."""

import sys

from kd.cli import main

if __name__ == "__main__":
    main(["study", *sys.argv[1:]])
