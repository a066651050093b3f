"""The command line: one file per command, each with `register` (its arguments) and `run` (what it does).

Results go to stdout; progress, summaries and errors to stderr. An expected failure is one line and exit code 2.
"""
