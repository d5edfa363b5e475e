"""What happens around the Trainer: the loop, checkpoints, several tasks at once, masked LM, selection, collapse, DeepSpeed."""
