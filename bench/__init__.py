"""How fast, beside others: `python -m bench`. Not part of the package."""
