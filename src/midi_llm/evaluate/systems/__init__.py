"""Who composes: the systems under test, from folders of MIDI files to floors, ceilings and rivals.

See `base` for the contract.
"""
