"""Tests of kd.hardware: the precision that a machine gets, and the number of processes."""

from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from accelerate.commands.config.config_args import load_config_from_file

from data.errors import InputError
from kd.hardware import bf16_pays, new_accelerator, processes, resolve_precision


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_fp16_on_a_cpu_is_refused_in_words():
    with pytest.raises(InputError, match=r"'fp16' needs a GPU: use auto, bf16 or fp32 on a CPU"):
        resolve_precision("fp16")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_named_precision_is_taken_as_it_is(precision):
    assert resolve_precision(precision) == precision


@pytest.mark.parametrize(("pays", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_only_where_the_hardware_multiplies_it(monkeypatch, pays, expected):
    """Emulated bf16 trains several times slower than fp32."""
    monkeypatch.setattr("kd.hardware.bf16_pays", lambda: pays)
    assert resolve_precision("auto") == expected


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("instructions", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_either_of_two_instruction_sets_lets_bf16_pay_on_a_cpu(monkeypatch, instructions):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda found=name == instructions: found)
    assert bf16_pays()


@pytest.mark.usefixtures("no_gpu")
def test_accelerators_of_two_precisions_follow_each_other():
    """A teacher in fp32 and a student in bf16 are trained by one process."""
    found = [new_accelerator(precision).mixed_precision for precision in ("fp32", "bf16", "fp32")]
    assert found == ["no", "bf16", "no"]


@pytest.mark.usefixtures("no_gpu")
def test_processes_that_do_not_see_each_other_are_refused(monkeypatch):
    """Each would train on its own and the last to finish would win."""
    PartialState(cpu=True)  # the process group is made before the environment lies
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="1 process runs where 2 were started"):
        new_accelerator("fp32")


@pytest.mark.usefixtures("no_gpu")
def test_a_launcher_that_started_one_process_where_several_were_asked_for_is_refused(monkeypatch):
    """accelerate launch --cpu --num_processes 2 starts one without a word."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(InputError, match="starts one process, and MASTER_ADDR speaks of several"):
        processes()


@pytest.mark.usefixtures("no_gpu")
def test_a_cluster_that_names_its_main_node_may_run_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert processes().num_processes == 1


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "deepspeed_zero2"])
def test_accelerate_reads_the_configs_that_are_shipped(name):
    """An unknown key raises there."""
    path = Path(__file__).resolve().parents[2] / "configs" / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert config.num_processes == 2
    assert config.distributed_type in ("MULTI_GPU", "FSDP", "DEEPSPEED")
