"""The accelerator of a command: device placement, half precision and several processes are accelerate's business."""

import gc

import torch
from accelerate import Accelerator

from shared.errors import UserError
from shared.memory import keep_memory
from shared.training.choices import DeviceName, Precision


def accelerator_for(device: DeviceName, mixed_precision: Precision = "no") -> Accelerator:
    """Raises `UserError` where the device is not to be had, or cannot do the precision."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; --device auto takes the CPU where there is none")
    if mixed_precision == "fp16" and (device == "cpu" or not torch.cuda.is_available()):
        raise UserError("--mixed-precision fp16 needs a GPU; on a CPU take no or bf16")
    keep_memory()
    return Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)


def let_go(accelerator: Accelerator) -> None:
    """After a network: end the processes that read for it.

    accelerate remembers every loader it has prepared, and so keeps its readers, each with a copy of what the training
    held when they began: after some folds that is all memory there is.
    """
    accelerator.free_memory()
    gc.collect()
