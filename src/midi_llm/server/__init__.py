"""The HTTP service: jobs over an opened `Composer`, kept in SQLite, with their notes streamed as they are composed.

`create_app(service)` in app.py is the whole interface; docs/service.md describes the API. Importing this package loads
nothing else.
"""
