"""Numbers about music that was asked for: validity, control, music, audio, speed. One family a file."""
