"""Hardware: the Accelerator of this process, and the numeric precision that pays on it."""

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, broadcast_object_list

from data.errors import InputError


def bf16_pays() -> bool:
    """Whether this machine multiplies bfloat16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def resolve_precision(precision: str) -> str:
    """`auto` as bf16 where the hardware has it, else fp32; other names as they are."""
    if precision == "auto":
        return "bf16" if bf16_pays() else "fp32"
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError("training.precision: 'fp16' needs a GPU: use auto, bf16 or fp32 on a CPU")
    return precision


def processes() -> PartialState:
    """The processes of this run, one where no launcher started more.

    Without cpu=True accelerate takes each rank on a CPU host for "0 of 1".
    Raises InputError when a launcher was asked for several processes and started one.
    """
    # accelerate's launcher on CPUs starts one; it names a meeting place if asked for several.
    launched = os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_ADDR" in os.environ
    if launched and "WORLD_SIZE" not in os.environ:
        raise InputError(
            "accelerate launch --cpu starts one process, and MASTER_ADDR speaks of several: "
            "use accelerate launch --multi_gpu (on CPUs too) or torchrun, or unset MASTER_ADDR"
        )
    # While the main process reads files or fits a baseline the others wait for it.
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=6))


def by_main_process(action: Callable[[], None]) -> None:
    """Have the main process do something while the others wait; all must call it.

    The InputError of a user's mistake ends every process, and the main one tells of it.
    """
    state = processes()
    error: InputError | None = None
    if state.is_main_process:
        try:
            action()
        except InputError as mistake:
            error = mistake
    failed = broadcast_object_list([error is not None])[0]
    if error is not None:
        raise error
    if failed:
        sys.exit(2)


def new_accelerator(precision: str) -> Accelerator:
    """An Accelerator that really is one of WORLD_SIZE processes.

    Raises RuntimeError when the processes do not see each other.
    """
    resolved = resolve_precision(precision)
    processes()
    # The state is a singleton that refuses a second precision; the process group stays.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no" if resolved == "fp32" else resolved,
    )
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise RuntimeError(
            f"{accelerator.num_processes} process runs where {expected} were started: "
            f"start them with torchrun or accelerate launch --multi_gpu"
        )
    _keep_memory()
    if not torch.cuda.is_available() and not torch.cpu._is_amx_tile_supported():
        # oneDNN's float32 matmul is twice MKL's on AMD; without AMX it rounds no operand.
        torch.set_float32_matmul_precision("medium")
    return accelerator


def leave_processes() -> None:
    """Leave the process group, where there is one: gloo's threads can abort an interpreter that
    ends with it."""
    if torch.distributed.is_initialized():
        gc.collect()  # what still holds the group, as a DDP model does
        torch.distributed.destroy_process_group()


def configure_deepspeed(accelerator: Accelerator, *, clip: float, accumulation: int) -> None:
    """Tell DeepSpeed, where a launcher chose it, what it would read from a data loader.

    Raises InputError for several micro-steps: its engine takes a step in each backward pass.
    """
    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        return
    if accumulation > 1:
        raise InputError(
            f"training.accumulation: {accumulation} is more than DeepSpeed can take here: use 1 "
            f"and more processes, or accelerate's FSDP"
        )
    settings = accelerator.state.deepspeed_plugin.deepspeed_config
    settings["train_micro_batch_size_per_gpu"] = 1  # for its own statistics alone
    settings["gradient_clipping"] = clip


def describe_processes() -> str:
    """How many processes run on what, as one line."""
    state = processes()
    number = f"{state.num_processes} process{'es' if state.num_processes > 1 else ''}"
    if torch.cuda.is_available():
        return f"{number} on {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    return f"{number} on CPU, {threads} thread{'s' if threads > 1 else ''} each"


def _keep_memory() -> None:
    """Let glibc keep freed memory: gradients of tens of megabytes are freed and taken every step,
    and giving them back to the system each time costs a quarter of a step in page faults."""
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(ctypes.c_int(-3), ctypes.c_int(1 << 30))  # M_MMAP_THRESHOLD
            libc.mallopt(ctypes.c_int(-1), ctypes.c_int(-1))  # M_TRIM_THRESHOLD: never trim
        except (OSError, AttributeError):
            return  # another C library
