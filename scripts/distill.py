"""Train the student: `kd distill` as a file for accelerate launch and torchrun."""

import sys

from kd.cli import main

if __name__ == "__main__":
    main(["distill", *sys.argv[1:]])
