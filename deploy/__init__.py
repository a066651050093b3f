"""The service on several processes or machines: one front that keeps the jobs, replicas that compose (docs/deploy.md).

In: the arguments of `midi-llm serve`, and how many replicas. Replicas are actors of Ray Serve; all that knows Ray is
here. `python -m deploy --help` says more.
"""
