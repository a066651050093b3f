"""Where pieces and texts come from: one module per kind of source, all read as `Part`s of `RawPiece`s."""
