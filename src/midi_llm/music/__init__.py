"""First floor: music as notes in seconds; MIDI files in and out. Knows nothing of tokens, models or downloads."""
