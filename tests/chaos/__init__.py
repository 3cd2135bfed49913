"""What happens to a real daemon while everything around it fails, with a table as the answer: `make chaos`.

`world.py` is what is around it, `faults.py` what goes wrong, `measured.py` what it costs; `__main__.py` prints.
"""
