"""Second floor: a score becomes notes on staves and pages. Knows music; knows no tokens, no models and no sound."""
