"""Label every row with the teachers: `kd label` as a file for accelerate launch and torchrun."""

import sys

from kd.cli import main

if __name__ == "__main__":
    main(["label", *sys.argv[1:]])
