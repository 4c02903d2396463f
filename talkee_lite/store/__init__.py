"""What is kept: SQL, and rows made into objects. Nothing else in the package knows SQL."""
