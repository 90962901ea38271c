"""The questions: a typed request -> an Answer, a module or folder each.

`registry.py` lists them, `fields.py` says what may be given, `asking.py` turns what was given into a request and asks.
"""
