"""Music as integers: vocabulary, codec, rests, controls, salvage, grammar, dump. Imports `music` and `errors` only."""
