"""The number format in which sentences are embedded: fp32, tf32 (fp32 with factors of matrix products rounded to 10 bits), bf16 or fp16.

tf32 finds nearly the same translations as fp32, and bf16 finds clearly others (`benchmarks/precision.py`). Hence the default.
"""

import contextlib
from collections.abc import Iterator

import torch

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def default_precision(device: torch.device) -> str:
    """ "tf32" on GPUs that have it (Ampere and later), else "fp32"."""
    return "tf32" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"


@contextlib.contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """A context in which models compute in `precision`. Autocast copies the weights to half precision once for the whole context."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        with torch.autocast(device.type, HALF.get(precision), enabled=precision in HALF):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
