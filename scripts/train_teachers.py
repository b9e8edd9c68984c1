"""Fine-tune the teachers: `kd teach` as a file for accelerate launch and torchrun."""

import sys

from kd.cli import main

if __name__ == "__main__":
    main(["teach", *sys.argv[1:]])
