"""Text to editable multitrack MIDI."""
