"""Two-stage training of Llama-family checkpoints on row sets. Needs the extra `train` (torch)."""
