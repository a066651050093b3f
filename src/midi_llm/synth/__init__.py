"""Second floor: a score becomes sound, by FluidSynth and a sound font. Knows music; knows no tokens and no models."""
