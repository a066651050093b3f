"""Checkpoint folders: named models, verification, loading and saving, vocabulary expansion, ONNX export, tiny ones."""
