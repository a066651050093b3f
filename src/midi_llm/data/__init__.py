"""From openly licensed MIDI files and their metadata to training rows. Knows no torch and no model."""
