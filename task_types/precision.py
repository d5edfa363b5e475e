"""In which numbers sentences are embedded: fp32, tf32 (fp32 whose matrix products round their factors to 10 bits), bf16 or fp16.

On the miniature world (`benchmarks/precision.py`; tf32 emulated) of 2,100 answers of Tatoeba and 448 pairs of BUCC others than in fp32
are found: tf32 2 and 1, fp16 2 and 3, bf16 12 and 42. Hence the default.
"""

import contextlib

import torch

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def default_precision(device) -> str:
    """tf32 on GPUs that have it, Ampere and later; else fp32."""
    return "tf32" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"


@contextlib.contextmanager
def computing_in(precision: str, device):
    """While it lasts. Copies of weights in half precision are made once, by autocast."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        with torch.autocast(device.type, HALF.get(precision), enabled=precision in HALF):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
