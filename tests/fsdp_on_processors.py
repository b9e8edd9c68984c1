"""kd under FSDP2 on processors: accelerate shards weights on GPUs only, torch on both."""

import os
import sys

from accelerate import state
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from kd.cli import main

os.environ |= {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}
plain = state.AcceleratorState.__init__


def sharded(self: state.AcceleratorState, *args: object, **options: object) -> None:
    """As accelerate's own, with what it does for GPUs."""
    plain(self, *args, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        plugin = options.get("fsdp_plugin")
        self.fsdp_plugin = plugin or FullyShardedDataParallelPlugin(fsdp_version=2)


if __name__ == "__main__":
    state.AcceleratorState.__init__ = sharded
    main(sys.argv[1:])
